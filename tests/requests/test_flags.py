"""Flags in a prompt: those that are read, those that are refused, and dashes that are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.flags import FLAGS, read_flags
from bot.requests.spec import ImageOptions
from zimage_engine.types import InvalidRequest


def read(prompt: str, **given: object) -> ImageOptions:
    return read_flags(ImageOptions(prompt, **given))  # type: ignore[arg-type]


def test_flags_as_people_know_them() -> None:
    assert read("a cat --ar 16:9 --seed 7 --steps 8 --no blur, text --count 2 --size large") == ImageOptions(
        "a cat", negative="blur, text", aspect="16:9", size="large", count=2, seed=7, steps=8
    )


@pytest.mark.parametrize(
    "text", ["a cat —ar 3:2", "a cat –ar 3:2", "a cat --AR 3:2", "--ar 3:2 a cat", "a cat --ar=3:2", "a cat --ar\n3:2"]
)
def test_flags_as_phones_write_them(text: str) -> None:
    assert read(text) == ImageOptions("a cat", aspect="3:2")


@pytest.mark.parametrize(
    "text", ["a well-known cat", "a cat -- sitting", "a cat — sitting", "T-shirt --", "1990–2000", "a--b", "C--"]
)
def test_dashes_that_are_no_flags_stay_in_the_prompt(text: str) -> None:
    assert read(text) == ImageOptions(text)


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
        read(text)
    assert sentence in str(caught.value)


def test_words_end_at_white_space_of_any_script() -> None:
    assert read("--ar 16:9\u3000一只猫\n坐着") == ImageOptions("一只猫\n坐着", aspect="16:9")


def test_a_flag_beside_its_option_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="--seed is given twice"):
        read("a cat --seed 1", seed=2)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        options = read(text)
    except InvalidRequest as error:
        assert str(error).endswith(".")
    else:
        assert set(options.prompt.split()) <= set(text.split())


WORDS = st.text(st.characters(categories=["Ll", "Lu", "Lo"]), min_size=1, max_size=8)


@given(
    words=st.lists(WORDS, min_size=1, max_size=6),
    flags=st.dictionaries(st.sampled_from(["seed", "steps", "count"]), st.integers(0, 10**9), max_size=3),
    at=st.integers(0, 6),
)
def test_flags_are_found_wherever_they_stand(words: list[str], flags: dict[str, int], at: int) -> None:
    written = [f"--{name} {value}" for name, value in flags.items()]
    options = read(" ".join([*words[:at], *written, *words[at:]]))
    assert options == replace(ImageOptions(" ".join(words)), **flags)


def test_every_flag_is_an_option() -> None:
    assert {option.name for option in FLAGS.values()} <= set(ImageOptions.__dataclass_fields__)
