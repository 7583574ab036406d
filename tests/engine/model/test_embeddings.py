"""The cache of embeddings: by scope, bounded, and forgotten when it is told to."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_omni import an_edit, build_tiny_omni
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.captions import Embedding, EmbeddingCache
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest

CPU = torch.device("cpu")
PLAN = MemoryPlan(Placement.RESIDENT, 4)
ASK = ImageRequest("a", "a red circle", 256, 256, 4, 1, guidance_scale=2.0)


@pytest.fixture(scope="module", params=["plain", "omni"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ZImageModel:
    folder: Path = DEMO_WEIGHTS
    if request.param == "omni":
        folder = build_tiny_omni(tmp_path_factory.mktemp("omni"))
    return ZImageModel(load_components(folder, CPU, PLAN), CPU)


@pytest.fixture
def ask(model: ZImageModel) -> ImageRequest:
    return ASK if model.parts.vision is None else replace(an_edit("a"), guidance_scale=2.0)


@pytest.fixture
def encoded(model: ZImageModel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts that are encoded from now on."""
    model.forget_caches()
    texts: list[str] = []
    encode = model._encode

    def counted(text: str) -> Embedding:
        texts.append(text)
        return encode(text)

    monkeypatch.setattr(model, "_encode", counted)
    return texts


def test_a_prompt_is_encoded_once_in_each_scope_and_the_empty_one_once(
    model: ZImageModel, ask: ImageRequest, encoded: list[str]
) -> None:
    model.start(ask, "one")
    first = len(encoded)
    model.start(ask, "one")
    assert len(encoded) == first
    model.start(ask, "another")
    assert len(encoded) == first + 1, "what comes around every prompt and the empty prompt are nobody's"


def test_a_generation_says_what_the_encoder_ran_on(model: ZImageModel, ask: ImageRequest, encoded: list[str]) -> None:
    first = model.start(ask, "one")
    assert len(first.encoded_tokens) == len(encoded)
    assert sum(first.encoded_tokens) > len(encoded)
    assert model.start(ask, "one").encoded_tokens == ()
    assert len(model.start(ask, "another").encoded_tokens) == 1


def test_a_forgotten_scope_is_encoded_again_and_others_are_not(
    model: ZImageModel, ask: ImageRequest, encoded: list[str]
) -> None:
    running = model.start(ask, "one")
    model.start(ask, "another")
    model.forget("one")
    encoded.clear()
    model.start(ask, "another")
    assert encoded == []
    assert running.positive.tokens > 0
    model.start(ask, "one")
    assert len(encoded) == 1


def test_nothing_of_a_prompt_is_left_in_memory_after_it_was_forgotten(model: ZImageModel, ask: ImageRequest) -> None:
    model.start(replace(ask, prompt="a very private prompt"), "one")
    model.forget("one")
    gc.collect()
    assert not any("a very private" in repr(key) for key in model._embeddings._entries)
    assert not any(key[0] == "one" for key in model._embeddings._entries)


def test_the_cache_is_bounded_by_bytes_and_by_count() -> None:
    def embedding() -> Embedding:
        return Embedding(torch.zeros(10, 10), truncated=False)

    cache = EmbeddingCache(limit=10**9, count=3)
    for text in "abcd":
        cache.put("", text, embedding())
    assert [cache.get("", text) is not None for text in "abcd"] == [False, True, True, True]
    cache = EmbeddingCache(limit=2500, count=100)
    for text in "abab":
        cache.put("", text, embedding())
    cache.put("", "c", embedding())
    assert [cache.get("", text) is not None for text in "abc"] == [False, True, True]
    cache.forget("")
    assert cache._bytes == 0
