"""For tests of the engine: four requests that fit into one batch, their pictures, and faults in the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from tests.helpers.engines import start_engine
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker
from zimage_engine.pixels import to_png
from zimage_engine.types import EngineError, ImageRequest, Unit
from zimage_engine.weights import complete_profile

SIDE = 128
TOKENS = 64
"""What one of the requests has in a batch."""

PROMPTS = {"a": "a red circle", "b": "a blue star", "c": "a green heart", "d": "a white square"}
METHODS = {Unit.ENCODE_TEXT: "start", Unit.ENCODE_IMAGE: "read_image", Unit.DENOISE: "step", Unit.DECODE: "decode"}
Wrap = Callable[[Worker], UnitWorker]


def make_request(name: str, steps: int = 2) -> ImageRequest:
    return ImageRequest(name, PROMPTS[name], SIDE, SIDE, steps, ord(name))


def make_edit(name: str) -> ImageRequest:
    """Return an edit of a grey picture, which needs a unit of each kind."""
    grey = to_png(Image.new("RGB", (SIDE, SIDE), (128, 128, 128)))
    return replace(make_request(name), original=grey, strength=0.9)


def draw_each_alone(make: Callable[[str], ImageRequest], cache_dir: Path) -> dict[str, bytes]:
    """Return the pictures of the four requests that ``make`` returns, each generated alone."""

    async def draw() -> dict[str, bytes]:
        engine = start_engine(EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir))
        pictures = {name: (await engine.submit(make(name), owner=1).result()).image.data for name in PROMPTS}
        await engine.close()
        return pictures

    return asyncio.run(draw())


async def outcomes(
    engine: Engine, make: Callable[[str], ImageRequest] = make_request, names: Iterable[str] = PROMPTS
) -> dict[str, bytes | Exception]:
    """Submit all four, or those of these ``names``, at once for as many owners. Returns each one's picture or error."""
    handles = {name: engine.submit(make(name), owner=name) for name in names}
    ended: dict[str, bytes | Exception] = {}
    for name, handle in handles.items():
        try:
            ended[name] = (await handle.result()).image.data
        except EngineError as error:
            ended[name] = error
    return ended


def same_picture(one: bytes | Exception, other: bytes) -> bool:
    """Return whether no pixel differs by more than 1. Fails the test if ``one`` is an error."""
    assert isinstance(one, bytes), one
    a, b = (torch.frombuffer(bytearray(data), dtype=torch.uint8).int() for data in (one, other))
    return int((a - b).abs().max()) <= 1


def break_for(prompt: str, unit: Unit, error: Callable[[], BaseException]) -> Wrap:
    """Wrap the real worker so that its model raises in one unit if that prompt is in it."""

    def wrap(worker: Worker) -> UnitWorker:
        model: Any = worker.model
        original = getattr(model, METHODS[unit])

        def broken(argument: Any, *rest: Any) -> Any:
            requests = [argument] if unit is Unit.ENCODE_TEXT else [
                generation.request for generation in (argument if unit is Unit.DENOISE else [argument])
            ]  # fmt: skip
            if prompt in {request.prompt for request in requests}:
                raise error()
            return original(argument, *rest)

        setattr(model, METHODS[unit], broken)
        return worker

    return wrap
