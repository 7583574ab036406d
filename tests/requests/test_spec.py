"""From what a member typed to a spec: flags, sizes, seeds, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.flags import FLAGS, read_flags
from bot.requests.spec import ImageOptions, build_spec
from zimage_engine.profiles import find_profile
from zimage_engine.types import InvalidRequest

DEMO = replace(find_profile("demo"), size_multiple=32)
BASE = replace(find_profile("base"), size_multiple=16)


def wish(prompt: str, **given: object) -> ImageOptions:
    return read_flags(ImageOptions(prompt, **given))  # type: ignore[arg-type]


def test_flags_as_people_know_them() -> None:
    assert wish("a cat --ar 16:9 --seed 7 --steps 8 --no blur, text --count 2 --size large") == ImageOptions(
        "a cat", negative="blur, text", aspect="16:9", size="large", count=2, seed=7, steps=8
    )


@pytest.mark.parametrize(
    "text", ["a cat —ar 3:2", "a cat –ar 3:2", "a cat --AR 3:2", "--ar 3:2 a cat", "a cat --ar=3:2", "a cat --ar\n3:2"]
)
def test_flags_as_phones_write_them(text: str) -> None:
    assert wish(text) == ImageOptions("a cat", aspect="3:2")


@pytest.mark.parametrize(
    "text", ["a well-known cat", "a cat -- sitting", "a cat — sitting", "T-shirt --", "1990–2000", "a--b", "C--"]
)
def test_dashes_that_are_no_flags_stay_in_the_prompt(text: str) -> None:
    assert wish(text) == ImageOptions(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a cat --foo 3", "There is no flag --foo; the flags are --ar"),
        ("a cat —foo", "There is no flag --foo"),
        ("a cat --no-blur", "There is no flag --no-blur"),
        ("a cat --ar:16:9", "--ar takes width:height"),
        ("a cat --3d", "There is no flag --3d"),
        ("a cat --ar foo", "--ar takes width:height from 1:4 to 4:1, like 16:9, not “foo”."),
        ("a cat --size huge", "--size takes small, medium, large or pixels like 256x256, not “huge”."),
        ("a cat --seed", "--seed takes a whole number from 0 to 4294967295."),
        ("a cat --seed x7", "--seed takes a whole number from 0 to 4294967295, not “x7”."),
        ("a cat --seed " + "9" * 5000, "--seed takes a whole number"),
        ("a cat --steps 8.5", "--steps takes a whole number"),
        ("a cat --guidance high", "--guidance takes a number"),
        ("a cat --no", "--no takes what the picture should not show"),
        ("a cat --seed 1 --seed 2", "--seed is given twice"),
    ],
)
def test_a_bad_flag_is_named_with_what_it_takes(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wish(text)
    assert sentence in str(caught.value)


def test_words_end_at_white_space_of_any_script() -> None:
    assert wish("--ar 16:9\u3000一只猫\n坐着") == ImageOptions("一只猫\n坐着", aspect="16:9")


def test_a_flag_beside_its_option_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="--seed is given twice"):
        wish("a cat --seed 1", seed=2)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        read = wish(text)
    except InvalidRequest as error:
        assert str(error).endswith(".")
    else:
        assert set(read.prompt.split()) <= set(text.split())


WORDS = st.text(st.characters(categories=["Ll", "Lu", "Lo"]), min_size=1, max_size=8)


@given(
    words=st.lists(WORDS, min_size=1, max_size=6),
    flags=st.dictionaries(st.sampled_from(["seed", "steps", "count"]), st.integers(0, 10**9), max_size=3),
    at=st.integers(0, 6),
)
def test_flags_are_found_wherever_they_stand(words: list[str], flags: dict[str, int], at: int) -> None:
    written = [f"--{name} {value}" for name, value in flags.items()]
    read = wish(" ".join([*words[:at], *written, *words[at:]]))
    assert read == replace(ImageOptions(" ".join(words)), **flags)


def test_every_flag_is_a_wish() -> None:
    assert {flag.wish for flag in FLAGS.values()} <= set(ImageOptions.__dataclass_fields__)


def test_what_is_not_said_comes_from_the_profile() -> None:
    spec, count = build_spec(ImageOptions(" a cat "), DEMO, max_count=4)
    assert (spec.prompt, spec.size, spec.steps, spec.guidance_scale, count) == ("a cat", DEMO.base_size, 8, 0, 1)
    assert build_spec(ImageOptions("a cat"), DEMO, max_count=4)[0].seed != spec.seed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ImageOptions(""), "The prompt is empty"),
        (ImageOptions(" \n"), "The prompt is empty"),
        (ImageOptions("x" * 4001), "4,001 characters; it may have 4,000"),
        (ImageOptions("x", seed=-1), "The seed must be from 0 to 4294967295"),
        (ImageOptions("x", seed=2**32), "The seed must be from 0 to 4294967295"),
        (ImageOptions("x", count=5), "The count must be from 1 to 4, not 5"),
        (ImageOptions("x", count=0), "The count must be from 1 to 4, not 0"),
        (ImageOptions("x", steps=21), "Steps must be from 1 to 20"),
        (ImageOptions("x", size="250x250"), "multiples of 32"),
        (ImageOptions("x", size="1024x32"), "too narrow"),
        (ImageOptions("x", size="2048x2048"), "too large"),
        (ImageOptions("x", size="huge"), "take medium, large"),
        (ImageOptions("x", size="256x256", aspect="1:1"), "not both"),
        (ImageOptions("x", aspect="10:1"), "between 1:4 and 4:1"),
        (ImageOptions("x", negative="blur"), "takes no negative prompt"),
        (ImageOptions("x", guidance=3.0), "takes no guidance"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(options: ImageOptions, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build_spec(options, DEMO, max_count=4)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


def test_seeds_of_a_job_count_up_and_wrap() -> None:
    spec, _ = build_spec(ImageOptions("x", seed=2**32 - 1), DEMO, max_count=4)
    assert [spec.image(i).seed for i in range(3)] == [2**32 - 1, 0, 1]
