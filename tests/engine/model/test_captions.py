"""The caption branch runs once a prompt, and the result is bit-equal."""

from __future__ import annotations

import pytest
import torch

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.captions import Transformer
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest

LONG = "a small yellow star on the left of a black background, " * 3


@pytest.fixture(scope="module")
def model() -> ZImageModel:
    device = torch.device("cpu")
    return ZImageModel(load_components(DEMO_WEIGHTS, device, MemoryPlan(Placement.RESIDENT, 4)), device)


def latents_after(model: ZImageModel, asks: list[ImageRequest], *, replay: bool) -> list[torch.Tensor]:
    model.forget_caches()
    model.transformer = Transformer(model.parts.transformer, replay=replay)
    generations = [model.start(ask) for ask in asks]
    for _ in range(asks[0].steps):
        assert model.step(generations).all()
    return [generation.latents for generation in generations]


@pytest.mark.parametrize(
    "asks",
    [
        [ImageRequest("a", "a red circle", 256, 256, 4, 1)],
        [ImageRequest("a", LONG, 320, 192, 4, 1), ImageRequest("b", LONG + "!", 256, 256, 4, 2)],
        [ImageRequest("a", "a red circle", 256, 256, 4, 1, guidance_scale=3.0, negative_prompt=LONG)],
    ],
    ids=["alone", "a batch", "guidance with prompts of different lengths"],
)
def test_replaying_is_bit_equal(model: ZImageModel, asks: list[ImageRequest]) -> None:
    for one, other in zip(
        latents_after(model, asks, replay=True), latents_after(model, asks, replay=False), strict=True
    ):
        assert torch.equal(one, other)


def test_the_branch_runs_once_for_a_prompt(model: ZImageModel) -> None:
    calls: list[int] = []
    hook = model.parts.transformer.cap_embedder.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    latents_after(model, [ImageRequest("a", "a red circle", 256, 256, 4, 1)], replay=True)
    model.step([model.start(ImageRequest("b", "a red circle", 256, 256, 4, 2))])
    hook.remove()
    assert len(calls) == 1
