"""Previews: a look at what is being drawn, that neither changes the picture nor costs much."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.loading import complete_profile
from zimage_engine.previews import LinearMap, Previewer, TinyDecoder, find_previewer
from zimage_engine.profiles import DEMO_WEIGHTS, find_profile
from zimage_engine.types import Finished, ImageRequest, RawImage, Step

ASK = ImageRequest("plain", "a large red circle on a blue background", 256, 256, 8, 3)
CPU = torch.device("cpu")


def pixels(image: RawImage) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)


async def draw(engine: Engine, request: ImageRequest) -> tuple[dict[int, RawImage], RawImage]:
    previews: dict[int, RawImage] = {}
    async for event in engine.submit(request, owner=1):
        if isinstance(event, Step) and event.preview is not None:
            previews[event.done] = event.preview
        if isinstance(event, Finished):
            return previews, event.image
    raise AssertionError("no picture came")


@pytest.fixture(scope="module")
def config(cache_dir: Path) -> EngineConfig:
    return EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir)


async def test_previews_show_the_picture_and_leave_it_as_it_is(config: EngineConfig) -> None:
    engine = Engine.start(config)
    try:
        nothing, plain = await draw(engine, ASK)
        previews, watched = await draw(engine, replace(ASK, id="watched", previews=True))
    finally:
        await engine.close()
    assert not nothing
    assert watched == plain
    assert previews
    assert 8 not in previews, "the last step is followed by the picture itself"
    last = previews[max(previews)]
    assert (last.width, last.height) == (16, 16)
    cells = pixels(watched).reshape(16, 16, 16, 16, 3).mean(axis=(1, 3))
    assert np.corrcoef(pixels(last).ravel(), cells.ravel())[0, 1] > 0.5, "a coarse picture of the picture"
    assert pixels(last)[1:3].mean(axis=(0, 1)).argmax() == 2, "on blue"


async def test_a_tiny_decoder_is_used_where_it_is_present(config: EngineConfig, tmp_path: Path) -> None:
    AutoencoderTiny(latent_channels=16).save_pretrained(tmp_path)
    engine = Engine.start(replace(config, preview_decoder=str(tmp_path)))
    try:
        previews, _ = await draw(engine, replace(ASK, id="sharp", previews=True))
    finally:
        await engine.close()
    assert {(preview.width, preview.height) for preview in previews.values()} == {(128, 128)}


def test_what_previews_are_made_with(tmp_path: Path) -> None:
    def vae(channels: int, scaling: float) -> Any:
        config = SimpleNamespace(latent_channels=channels, scaling_factor=scaling)
        return SimpleNamespace(config=config, dtype=torch.float32)

    def kind(folder: Path, decoder: Any, tiny: str | None = None) -> type | None:
        found = find_previewer(folder, decoder, tiny, CPU)
        return None if found is None else type(found._look)

    (tmp_path / "tiny").mkdir()
    AutoencoderTiny(latent_channels=16).save_pretrained(tmp_path / "tiny")
    flux = vae(16, 0.3611)
    assert kind(tmp_path, flux) is LinearMap
    assert kind(tmp_path, flux, str(tmp_path / "tiny")) is TinyDecoder
    assert kind(tmp_path, flux, str(tmp_path / "absent")) is LinearMap
    assert kind(tmp_path, vae(16, 1.0)) is None, "nobody has published a matrix for it"
    assert kind(DEMO_WEIGHTS, vae(4, 1.0), str(tmp_path / "tiny")) is LinearMap, "another model's decoder"


def test_previews_take_a_twentieth_of_the_time_at_most() -> None:
    class Slow(LinearMap):
        def __call__(self, latents: torch.Tensor) -> torch.Tensor:
            time.sleep(0.02)
            return super().__call__(latents)

    previewer = Previewer(Slow([[1.0, 1.0, 1.0]], [0.0, 0.0, 0.0]))
    latents, worked, made = torch.zeros(1, 4, 4), 0.0, 0
    for _ in range(100):
        previewer.worked(0.1)
        worked += 0.1
        made += previewer.preview(latents) is not None
    assert made > 10
    assert previewer._spent <= 0.05 * worked + 0.05, "never more than one preview ahead of its share"
