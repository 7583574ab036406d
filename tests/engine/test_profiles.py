"""The rules of profiles: sizes, aspects and their bounds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_engine.catalog import find_profile
from zimage_engine.profiles import Size, parse_aspect, parse_size
from zimage_engine.types import ImageRequest, InvalidRequest

DEMO = replace(find_profile("demo"), size_multiple=32)
TURBO = replace(find_profile("turbo"), size_multiple=16)


@given(
    profile=st.sampled_from([DEMO, TURBO]),
    aspect=st.fractions(min_value=Fraction(1, 4), max_value=4, max_denominator=100),
    name=st.sampled_from(["medium", "large"]),
)
def test_every_size_for_an_aspect_can_be_drawn(profile, aspect, name) -> None:
    size = profile.size_for(aspect, name)
    area = (profile.base_side * profile.scales[name]) ** 2
    assert size.width % profile.size_multiple == size.height % profile.size_multiple == 0
    assert 0.65 < size.pixels / area < 1.5
    assert 0.6 < size.width / size.height / aspect < 1.6


def test_offered_sizes_can_all_be_drawn() -> None:
    for profile in (DEMO, TURBO):
        for sizes in profile.offered_sizes().values():
            for size in sizes:
                profile.check_size(size)


def test_the_usual_sizes() -> None:
    assert TURBO.size_for(Fraction(1)) == Size(1024, 1024)
    assert TURBO.size_for(Fraction(16, 9)) == Size(1360, 768)
    assert DEMO.size_for(Fraction(5, 3)) == Size(320, 192)
    assert DEMO.size_for(Fraction(3, 5)) == Size(192, 320)


@pytest.mark.parametrize(
    ("text", "aspect"), [("16:9", Fraction(16, 9)), ("1x2", Fraction(1, 2)), (" 1.5 ", Fraction(3, 2))]
)
def test_aspects_that_are_read(text: str, aspect: Fraction) -> None:
    assert parse_aspect(text) == aspect


@pytest.mark.parametrize("text", ["", "0:1", "1:0", "wide", "9:1", "1:99999", "-1:2", "１６:９", "1:2:3"])
def test_aspects_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="16:9"):
        parse_aspect(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_aspect, parse_size):
        try:
            parse(text)
        except InvalidRequest as error:
            assert str(error).endswith(".")


def test_a_size_that_is_not_allowed_names_one_that_is() -> None:
    with pytest.raises(InvalidRequest, match="multiples of 32, for example 256×224"):
        DEMO.check_size(Size(250, 230))


def test_a_request_has_the_profiles_defaults_a_new_id_and_a_random_seed() -> None:
    one, other = TURBO.request("a fox"), TURBO.request("a fox")
    assert one == ImageRequest(one.id, "a fox", 1024, 1024, 8, one.seed, model="turbo")
    assert one.id != other.id
    assert one.seed != other.seed
    TURBO.check(one)


def test_a_request_takes_what_is_given_and_the_strength_that_an_edit_needs() -> None:
    given = DEMO.request("a fox", seed=0, size=Size(320, 192), steps=3, guidance_scale=0.0, previews=True)
    assert given == ImageRequest(given.id, "a fox", 320, 192, 3, 0, previews=True, model="demo")
    png = b"the content of a file"
    assert DEMO.request("a fox", original=png).strength == DEMO.strength < 1
    assert DEMO.request("a fox", original=png, mask=png).strength == 1
    assert DEMO.request("a fox", original=png, mask=png, strength=0.5, keep_outside=True).strength == 0.5
