"""What a request needs, before anything of it is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.estimates import caption_tokens, texts_of, unit_seconds
from zimage_engine.scheduling.tokens import PROMPT_TOKENS_MAX, text_tokens
from zimage_engine.types import ImageRequest, Unit

ASK = ImageRequest("a", "p", 256, 256, 2, 0)
GUIDED = replace(ASK, guidance_scale=4.0, negative_prompt="blurry")


@pytest.mark.parametrize("texts", [(20,), ()], ids=["new", "cached"])
def test_every_unit_costs_more_than_nothing(texts: tuple[int, ...]) -> None:
    seconds = unit_seconds(ASK, CostModel(), 1024, 32, texts)
    assert set(seconds) == set(Unit) - {Unit.LOAD_MODEL}
    assert min(seconds.values()) > 0


def test_texts_cost_a_part_each_and_a_part_for_each_token() -> None:
    costs = CostModel(encode_text=0.5, encode_token=0.001)
    assert costs.encode((100,)) == pytest.approx(0.6)
    assert costs.encode((100, 500)) == pytest.approx(1.6)
    assert unit_seconds(ASK, costs, 1024, 32, ())[Unit.ENCODE_TEXT] < 0.001


def test_guidance_encodes_the_negative_prompt_too() -> None:
    assert texts_of(ASK) == ("p",)
    assert texts_of(GUIDED) == ("p", "blurry")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 8),
        ("a red circle on a blue background", 8 + 9),
        ("一个小的黄色星形，黑色背景", 8 + 13),
        ("красный круг", 8 + 6),
        ("word " * 1000, PROMPT_TOKENS_MAX),
    ],
)
def test_tokens_are_estimated_from_letters(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


def test_the_caption_of_an_edit_by_instruction_includes_the_image() -> None:
    edit = replace(ASK, original=Path("photo.png"))
    assert caption_tokens(edit, 1024) == caption_tokens(ASK, 1024, 256) == 32
    # The text and what stands around it, the image's 8 · 8 tokens, SigLIP's 256 patches, and an empty place.
    assert caption_tokens(edit, 1024, 256) == 3 * 32 + 64 + 256 + 32
    assert caption_tokens(replace(GUIDED, negative_prompt="blurry " * 30), 1024) == 64
