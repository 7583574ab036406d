"""Syntax of other programs: what is noted, and what is prose."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.prompt_notes import prompt_notes
from zimage_engine.profiles import PROMPT_LIMIT

WEIGHT = "`::2` has no meaning here: the model reads it as words."
BRACKETS = "`(x:1.3)` has no meaning here: the model reads it as words."
LORA = "`<lora:…>` has no meaning here: the model reads it as words."
LINK = "A link is not opened: to change a picture, use /edit."


@pytest.mark.parametrize(
    ("prompt", "note"),
    [
        ("a cat::2", WEIGHT),
        ("a cat:: a dog::-.5, red", WEIGHT),
        ("一只猫：：2", WEIGHT),
        ("a (red hat:1.3) on a cat", BRACKETS),
        ("a ((red hat:2)) on a cat", BRACKETS),
        ("(red hat：1.3）", BRACKETS),
        ("a cat <lora:style_v2:0.8>", LORA),
        ("https://cdn.example/a.png a cat", LINK),
        ("a cat like HTTP://x.y", LINK),
        (
            "https://x.y a cat::2 (red:1.3) <lora:a:1> dog::3",
            "`::2`, `(x:1.3)` and `<lora:…>` have no meaning here: the model reads them as words. " + LINK,
        ),
    ],
)
def test_what_has_no_meaning_is_noted_once(prompt: str, note: str) -> None:
    assert prompt_notes(prompt) == note


@pytest.mark.parametrize(
    "prompt",
    ["a cat", "at noon (12:30)", "(Genesis 1:3)", "std::vector", "a cat (red)", "<3 cats>", "16:9", "a: 2", "http"],
)
def test_prose_has_no_note(prompt: str) -> None:
    assert prompt_notes(prompt) == ""


@given(st.text(st.sampled_from("a(1:.)<lora> ,/"), max_size=4000))
def test_any_prompt_is_read(prompt: str) -> None:
    assert prompt_notes(prompt).count("has no meaning") <= 1


@pytest.mark.parametrize("opening", ["a::", "(a:", "(a: ", "a::-", "(", "<lora:", "a::."])
@pytest.mark.parametrize("repeated", ["1", " ", ".", "a", "(", ":", "1."])
def test_the_longest_prompt_is_read_quickly(opening: str, repeated: str) -> None:
    """The event loop waits for it at each edit of a card."""
    prompt = (opening + repeated * PROMPT_LIMIT)[: PROMPT_LIMIT - 1] + "x"
    began = time.thread_time()
    prompt_notes(prompt)
    assert time.thread_time() - began < 0.1
