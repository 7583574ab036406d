"""Attention kernels: they never get a mask that they cannot take, and an error names one that cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.engine import Engine
from zimage_engine.model.captions import Transformer
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest, NotAvailable
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")
PLAN = MemoryPlan(Placement.RESIDENT, 4)
LONG = "a small yellow star on the left of a black background, " * 3


@pytest.mark.parametrize("replay", [True, False])
def test_a_kernel_without_masks_is_never_given_one(*, replay: bool) -> None:
    model = ZImageModel(load_components(DEMO_WEIGHTS, CPU, PLAN), CPU)
    whole: Any = model.parts.transformer
    asks = [
        ImageRequest("guided", "a red circle", 256, 256, 3, 1, guidance_scale=3.0, negative_prompt=LONG),
        ImageRequest("plain", LONG, 256, 256, 3, 2),
    ]
    seen: list[object] = []
    whole.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))

    def latents(*, masks: bool) -> list[torch.Tensor]:
        seen.clear()
        model.forget_caches()
        model.transformer = Transformer(whole, replay=replay, masks=masks)
        generations = [model.start(ask) for ask in asks]
        for _ in range(3):
            assert model.step(generations).all()
        return [generation.latents for generation in generations]

    with_masks = latents(masks=True)
    assert any(mask is not None for mask in seen)
    without = latents(masks=False)
    assert all(mask is None for mask in seen)
    for one, other in zip(with_masks, without, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_kernels_that_take_masks() -> None:
    assert all(Acceleration(name).takes_masks for name in ("auto", "native", "flex", "xformers"))
    assert not any(Acceleration(name).takes_masks for name in ("flash", "sage", "_flash_3_hub", "something new"))


async def test_another_kernel_draws_the_same_picture(cache_dir: Path) -> None:
    config = EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir, measure=False)
    pictures = []
    for attention in ("auto", "_native_math"):
        engine = Engine.start(replace(config, attention=attention))
        try:
            image = (await engine.submit(ImageRequest("a", "a red circle", 256, 256, 4, 1), owner=1).result()).image
        finally:
            await engine.close()
        pictures.append(np.frombuffer(image.data, np.uint8).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


@pytest.mark.parametrize("name", ["flash", "no such kernel"])
async def test_a_kernel_that_cannot_be_had_is_named(name: str) -> None:
    config = EngineConfig(complete_profile(find_profile("demo")), "cpu", attention=name)
    engine = Engine.start(config)
    with pytest.raises(NotAvailable, match=f"“{name}” cannot be used here .*set ATTENTION=auto"):
        await engine.ready()
    await engine.close()


def test_a_measurement_belongs_to_its_acceleration() -> None:
    assert str(Acceleration()) == ""
    assert str(Acceleration("sage", compiled=True)) == "attention sage, compiled"
