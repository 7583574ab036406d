"""Other people's words in our messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.inert import in_quotes, inert
from bot.moderation.durations import parse_period
from bot.moderation.limit_texts import parse_value
from bot.moderation.patterns import Pattern
from bot.requests.drafts import Draft
from bot.requests.flags import read_flags
from bot.requests.models import Models
from bot.requests.spec import ImageOptions, ImageSpec, build_spec
from bot.views.errors import request_text
from bot.views.results import picture_label
from bot.views.text import MESSAGE_LIMIT, duration, result_text
from zimage_engine.catalog import PROFILES
from zimage_engine.types import InvalidRequest

PROFILE = replace(PROFILES["demo"], size_multiple=32)
ANY = st.text(max_size=300) | st.text("`@<>*:/ ", max_size=300)


@given(ANY, st.integers(20, 400))
def test_the_fence_holds_and_the_limit_too(text: str, limit: int) -> None:
    shown = inert(text, limit)
    assert len(shown) <= limit
    assert shown.startswith("``")
    assert shown.endswith("``")
    inside = shown[2:-2]
    assert "``" not in inside
    assert not inside.startswith("`")
    assert not inside.endswith("`")
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("big", "“big”"),
        ("-1,5 ×", "“-1,5 ×”"),
        ("one\ntwo  three", "“one two three”"),
        ("x" * 31, f"“{'x' * 30}”"),
        ("**loud** <@5>", "``**loud** <@5>``"),
        ("`code", "`` `code``"),
        ("https://example.org", "``https://example.org``"),
    ],
)
def test_what_was_typed_is_quoted_and_does_nothing(text: str, shown: str) -> None:
    assert in_quotes(text, 30) == shown


@pytest.mark.parametrize(
    "refused",
    [
        lambda text: parse_value("max_count", text),
        parse_period,
        lambda text: build_spec(ImageOptions("a cat", size=text), PROFILE, max_count=4),
        lambda text: build_spec(ImageOptions("a cat", aspect=text), PROFILE, max_count=4),
        lambda text: build_spec(ImageOptions("a cat", size=f"{text}9"), PROFILE, max_count=4),
        lambda text: Draft("a cat", flags=text).options(),
        lambda text: read_flags(ImageOptions(f"a cat --seed {text}"), models=Models((PROFILE,)), max_count=4),
        Pattern,
    ],
)
def test_a_sentence_outlives_the_value_that_it_quotes(refused: Callable[[str], object]) -> None:
    with pytest.raises((Refusal, InvalidRequest)) as caught:
        refused("`*a\n<@5>(")
    outside = re.sub(r"``.*?``(?!`)", "", str(caught.value))
    assert not re.search(r"[*\n<>@]", outside)
    assert outside.count("`") % 2 == 0


@given(
    prompt=ANY,
    repeat=st.integers(1, 40),
    negative=ANY,
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    note=st.text(max_size=150),
)
def test_a_result_always_fits_into_a_message(
    prompt: str, repeat: int, negative: str, seeds: list[int], note: str
) -> None:
    spec = ImageSpec((prompt * repeat)[:4000], 2048, 2048, 1, 50, 7.5, negative, "m")
    assert len(result_text(spec, 2**63, seeds, 1234.5, note)) <= MESSAGE_LIMIT


def test_durations_for_people() -> None:
    assert [duration(seconds) for seconds in (0.2, 40, 89, 100, 400)] == [
        "about 1 s",
        "about 40 s",
        "about 89 s",
        "about 2 min",
        "about 7 min",
    ]


def test_one_step_is_no_steps() -> None:
    spec = ImageSpec("a cat", 256, 256, 1, 1, 0.0, "", "m")
    assert " · 1 step · " in result_text(spec, 1, [1], 1.0, "")


def test_a_request_without_visible_words_is_not_repeated() -> None:
    assert request_text("No.", Draft("\u200b\u202e ")) == "No."
    assert request_text("No.", Draft("a cat")) == "No.\n``a cat``"


def test_a_choice_leaves_the_direction_of_the_text_around_it_alone() -> None:
    assert picture_label(2, 7, "a\u202e cat\nat night") == "2 · seed 7 · a cat at night"
