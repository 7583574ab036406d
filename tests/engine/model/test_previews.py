"""Previews: they show the picture, do not change it, and take little time."""

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

from tests.helpers.engines import in_thread, load_worker, start_engine
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.model.previews import LinearMap, Previewer, TinyDecoder, _find_decoder, find_previewer
from zimage_engine.types import Finished, ImageRequest, RawImage, Step
from zimage_engine.weights import complete_profile

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
    engine = start_engine(config)
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


def test_a_tiny_decoder_is_used_where_it_is_present(tmp_path: Path) -> None:
    AutoencoderTiny(latent_channels=16).save_pretrained(tmp_path)
    vae = SimpleNamespace(config=SimpleNamespace(latent_channels=16, scaling_factor=1.0), dtype=torch.float32)
    previewer = find_previewer(DEMO_WEIGHTS, vae, str(tmp_path), CPU)
    assert previewer is not None
    preview, seconds = previewer.preview(torch.randn(16, 16, 16), 60.0)
    assert preview is not None
    assert (preview.width, preview.height) == (128, 128)
    assert seconds > 0


def test_what_previews_are_made_with(tmp_path: Path) -> None:
    def vae(channels: int, scaling: float) -> Any:
        config = SimpleNamespace(latent_channels=channels, scaling_factor=scaling)
        return SimpleNamespace(config=config, dtype=torch.float32)

    def kind(folder: Path, decoder: Any, tiny: str | None = None) -> type | None:
        found = _find_decoder(folder, decoder, tiny, CPU)
        return None if found is None else type(found)

    (tmp_path / "tiny").mkdir()
    AutoencoderTiny(latent_channels=16).save_pretrained(tmp_path / "tiny")
    flux = vae(16, 0.3611)
    assert kind(tmp_path, flux) is LinearMap
    assert kind(tmp_path, flux, str(tmp_path / "tiny")) is TinyDecoder
    assert kind(tmp_path, flux, str(tmp_path / "absent")) is LinearMap
    assert kind(tmp_path, vae(16, 1.0)) is None, "nobody has published a matrix for it"
    assert kind(DEMO_WEIGHTS, vae(4, 1.0), str(tmp_path / "tiny")) is LinearMap, "another model's decoder"


class Slow(LinearMap):
    """A preview that takes 20 ms, like a tiny decoder on a small device."""

    def __init__(self) -> None:
        super().__init__([[0.0, 0.0, 0.0]] * 16, [0.0, 0.0, 0.0])

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return super().__call__(latents)


async def test_the_previews_of_a_picture_take_a_twentieth_of_its_time_at_most(config: EngineConfig) -> None:
    """The unused seconds of earlier pictures, which wanted no previews, do not count."""
    previews: list[int] = []

    class Counted(Slow):
        def __call__(self, latents: torch.Tensor) -> torch.Tensor:
            previews.append(1)
            return super().__call__(latents)

    def make_worker() -> Worker:
        worker = load_worker(config)
        worker.loaded.all()[0].previewer = Previewer(Counted(), 16, CPU)
        return worker

    engine = Engine.start(config, in_thread(make_worker))
    try:
        for number in range(3):
            await draw(engine, replace(ASK, id=f"unwatched {number}"))
        previews.clear()
        began = time.perf_counter()
        await draw(engine, replace(ASK, id="watched", steps=20, previews=True))
        seconds = time.perf_counter() - began
    finally:
        await engine.close()
    # One preview may begin within the allowance and end beyond it.
    assert (len(previews) - 1) * 0.02 <= 0.05 * seconds


def test_a_preview_that_would_take_too_long_is_left_out() -> None:
    previewer = Previewer(Slow(), 16, CPU)
    assert previewer.preview(torch.zeros(16, 32, 32), 0.01) == (None, 0.0)
    assert previewer.preview(torch.zeros(16, 32, 32), 1.0)[0] is not None
