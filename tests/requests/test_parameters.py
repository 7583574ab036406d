"""A spec as text that can be pasted as a prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.parameters import parameters_text
from bot.requests.spec import MIN_STRENGTH, ImageOptions, ImageSpec, build_edit_spec, build_spec
from tests.helpers.specs import BASE, CAT, specs


@given(specs())
def test_the_line_pasted_as_a_prompt_gives_the_spec_back(spec: ImageSpec) -> None:
    text = parameters_text(spec)
    if text.startswith("prompt: ") and "\n" in text:
        assert f"seed: {spec.seed}\n" in text
    else:
        assert "\n" not in text
        assert build_spec(read_flags(ImageOptions(text)), BASE, max_count=1) == (spec, 1)


@given(specs(), st.floats(MIN_STRENGTH, 1) | st.just(0.6))
def test_the_line_of_an_edit_pasted_there_gives_all_but_its_source_back(spec: ImageSpec, strength: float) -> None:
    edit = replace(spec, strength=strength, original="0" * 32)
    text = parameters_text(edit)
    if "\n" not in text:
        options = read_flags(ImageOptions(text), EDIT_FLAGS)
        settled = build_edit_spec(options, BASE, max_count=1, size=BASE.base_size, masked=False)
        assert settled == (replace(edit, original=""), 1)


def test_the_line_is_easy_to_read() -> None:
    assert parameters_text(CAT) == "a cat --size 256x256 --seed 7 --steps 8 --guidance 0"
    assert "--guidance 4.123456" in parameters_text(replace(CAT, guidance_scale=4.123456))
    edit = replace(CAT, strength=0.6, original="0" * 32, guidance_scale=4.5, negative_prompt="blur, text")
    assert parameters_text(edit) == (
        "a cat --size 256x256 --seed 7 --steps 8 --guidance 4.5 --strength 0.6 --negative blur, text"
    )


@pytest.mark.parametrize("prompt", ["a cat --seed 9", "a cat --foo", "—no blur", "a cat\nsitting", "a\u2028cat"])
def test_a_prompt_that_flags_cannot_carry_stands_line_by_line(prompt: str) -> None:
    lines = parameters_text(replace(CAT, prompt=prompt))
    assert lines == f"prompt: {prompt}\nsize: 256x256\nseed: 7\nsteps: 8\nguidance: 0\nmodel: Z-Image demo"
