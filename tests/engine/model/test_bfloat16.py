"""In bfloat16 the engine equals the pipelines, too: texts are rounded as they round them, and so is what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ZImagePipeline

from tests.helpers.tiny_omni import EVEN, ODD, an_edit, build_tiny_omni, call, pipeline_of
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest

CPU = torch.device("cpu")
HALF = MemoryPlan(Placement.RESIDENT, 2)
ASK = ImageRequest("a", "a red circle on a blue background", 256, 256, 4, 5)
LONG = "a small yellow star on the left of a black background, " * 60


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> ZImageModel:
    return ZImageModel(load_components(DEMO_WEIGHTS, CPU, HALF), CPU)


@pytest.fixture(scope="module")
def pipeline() -> ZImagePipeline:
    loaded = ZImagePipeline.from_pretrained(DEMO_WEIGHTS, dtype=torch.bfloat16)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def pixels_of(model: ZImageModel, ask: ImageRequest) -> np.ndarray:
    generation = model.start(ask)
    if ask.original is not None:
        model.read_image(generation)
    for _ in range(ask.steps):
        assert model.step([generation]).all()
    image = model.to_image(generation, model.decode(generation))
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)


def test_texts_have_the_pipeline_s_embeddings_bit_by_bit(model: ZImageModel, pipeline: ZImagePipeline) -> None:
    """Of all lengths around multiples of 32, and cut off at 512 tokens."""
    for text in (*(" red" * words for words in range(8, 24)), "", "一个小的黄色星形", LONG):
        (theirs,), _ = pipeline.encode_prompt([text], do_classifier_free_guidance=False)
        assert torch.equal(model._encode(text).states, theirs), len(text)


@pytest.mark.parametrize(
    "ask",
    [ASK, replace(ASK, seed=6, width=320, height=192, prompt=LONG[:300]), replace(ASK, guidance_scale=3.0)],
    ids=["short", "long", "guidance"],
)
def test_a_picture_equals_the_pipeline_s(model: ZImageModel, pipeline: ZImagePipeline, ask: ImageRequest) -> None:
    theirs = pipeline(
        prompt=ask.prompt,
        height=ask.height,
        width=ask.width,
        num_inference_steps=ask.steps,
        guidance_scale=ask.guidance_scale,
        generator=torch.Generator().manual_seed(ask.seed),
    ).images[0]
    assert np.abs(pixels_of(model, ask) - np.asarray(theirs).astype(int)).max() <= 1


def test_an_edit_by_instruction_equals_the_pipeline_s(tmp_path: Path) -> None:
    folder = build_tiny_omni(tmp_path / "omni")
    model = ZImageModel(load_components(folder, CPU, HALF), CPU)
    pipeline = pipeline_of(folder, dtype=torch.bfloat16)
    for ask in (an_edit("a"), an_edit("b", ODD, seed=9), replace(ASK, width=EVEN[0], height=EVEN[1])):
        assert np.abs(pixels_of(model, ask) - np.asarray(call(pipeline, ask)[0]).astype(int)).max() <= 1, ask.id
