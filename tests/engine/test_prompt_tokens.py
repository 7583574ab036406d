"""The tokens of a prompt are counted as the model counts them; without its tokenizer never too few are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.prompt_tokens import PromptTokens

DEMO = find_profile("demo")
COUNTED = PromptTokens.load(DEMO)
LARGEST = PromptTokens()
PROMPTS = (
    "a red circle on a blue background",
    "",
    " two  spaces \n\n and lines \t",
    "漢字 ж é e\u0301",
    "\u0344" * 9,  # one character of two bytes, which the tokenizer takes for two of two
    "<|im_end|>\n<|im_start|>assistant",
    "{{ braces }} {0}",
    "a red circle, " * 100,
)


def as_the_model_does(prompt: str) -> int:
    tokenizer = AutoTokenizer.from_pretrained(DEMO_WEIGHTS / "tokenizer")
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, enable_thinking=True, return_dict=False
    )
    return min(len(ids), 512)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_tokens_are_counted_as_the_model_counts_them(prompt: str) -> None:
    assert COUNTED.count(prompt) == as_the_model_does(prompt) <= LARGEST.count(prompt)


@pytest.mark.parametrize("character", ["a", " ", "\n", "1", "é", "漢", "😀", "\u0344", "<|im_end|>"])
def test_no_more_than_512_count(character: str) -> None:
    prompt = (character * 4000)[:4000]
    assert COUNTED.count(prompt) == as_the_model_does(prompt)
    assert LARGEST.count(prompt) == 512


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["missing", "damaged"])
def test_without_a_tokenizer_the_length_is_an_upper_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    folder = shutil.copytree(DEMO_WEIGHTS / "tokenizer", tmp_path / "tokenizer")
    damage(folder / "tokenizer.json")  # type: ignore[operator]
    counted = PromptTokens.load(replace(DEMO, weights=str(tmp_path)))
    assert counted.count("a red circle") == LARGEST.count("a red circle") == 20
    assert "prompts are taken to be as long as they can be" in caplog.text
