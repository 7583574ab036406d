"""From options to a spec: defaults, seeds, refusals, and how a spec is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from bot.requests.models import by_model
from bot.requests.spec import ImageOptions, ImageSpec, build_spec
from tests.helpers.specs import CAT, DEMO
from zimage_engine.catalog import PROFILES
from zimage_engine.types import InvalidRequest


def test_what_is_not_said_comes_from_the_profile() -> None:
    spec, count = build_spec(ImageOptions(" a cat "), DEMO, max_count=4)
    assert (spec.prompt, spec.size, spec.steps, spec.guidance_scale, count) == ("a cat", DEMO.base_size, 8, 0, 1)
    assert build_spec(ImageOptions("a cat"), DEMO, max_count=4)[0].seed != spec.seed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ImageOptions(""), "The prompt is empty"),
        (ImageOptions(" \n"), "The prompt is empty"),
        (ImageOptions("\u200b\u2060 \u202e"), "The prompt is empty"),
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


def test_the_key_of_an_original_is_the_one_that_rows_and_pictures_have() -> None:
    row = (
        '{"guidance_scale": 0.0, "height": 256, "mask": "bb", "model": "Z-Image demo", "negative_prompt": "", '
        '"prompt": "a cat", "seed": 7, "source": "aa", "steps": 8, "strength": 0.6, "width": 256}'
    )
    edit = replace(CAT, strength=0.6, original="aa", mask="bb")
    assert ImageSpec.from_json(row) == edit
    assert json.loads(edit.to_json()).items() >= json.loads(row).items()


def test_what_only_edits_have_is_stored_for_edits_alone() -> None:
    assert {"strength", "source", "mask"}.isdisjoint(CAT.fields())
    assert {"strength", "source"} <= replace(CAT, original="aa").fields().keys()
    assert ImageSpec.from_json(CAT.to_json()) == CAT


def test_a_field_of_a_later_version_is_ignored() -> None:
    assert ImageSpec.from_json(json.dumps(CAT.fields() | {"later": 1})) == CAT


def test_a_spec_by_another_model_keeps_what_that_takes() -> None:
    guided, plain = replace(PROFILES["demo-guided"], size_multiple=DEMO.size_multiple), DEMO
    spec = replace(build_spec(ImageOptions("a cat", "dogs", steps=5, guidance=2.0), guided, max_count=1)[0], seed=7)
    assert by_model(spec, guided) == spec
    assert by_model(spec, plain) == replace(spec, model=plain.title, negative_prompt="", guidance_scale=0)
    large = replace(spec, width=2048, height=1024, steps=50, strength=0.4, original="o", mask="m")
    edited = by_model(large, plain)
    assert (edited.strength, edited.original, edited.mask) == (0.4, "o", "m")
    assert (edited.steps, edited.size) == (plain.steps.default, plain.size_for(Fraction(2)))
    by_instruction = replace(PROFILES["edit"], size_multiple=DEMO.size_multiple)
    assert by_model(replace(large, mask=""), by_instruction).strength == 1.0
    with pytest.raises(InvalidRequest, match="changes pictures as the prompt says: leave out mask"):
        by_model(large, by_instruction)
