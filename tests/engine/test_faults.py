"""When units fail, only the request that caused it fails; the others get their pictures."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.engines import load_worker, start_engine
from tests.helpers.faults import Faulty
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor
from zimage_engine.types import (
    DeviceLost,
    EngineError,
    ImageRequest,
    NumericalError,
    OutOfMemory,
    Plan,
    PlanResult,
    RawImage,
    Unit,
    UnitFailed,
    WorkerLost,
)
from zimage_engine.weights import complete_profile

PROMPTS = {"a": "a red circle", "b": "a blue star", "c": "a green heart", "d": "a white square"}
METHODS = {Unit.ENCODE_TEXT: "start", Unit.ENCODE_IMAGE: "read_image", Unit.DENOISE: "step", Unit.DECODE: "decode"}
Wrap = Callable[[Worker], Executor]


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def made(
        wrap: Wrap = lambda worker: worker, load: Callable[[EngineConfig], Worker] = load_worker, **changes: Any
    ) -> Engine:
        profile = complete_profile(find_profile("demo"))
        # With fixed costs, batches are the same on every machine.
        config = EngineConfig(profile, "cpu", measure=False, batch_tokens=4 * 96, **changes)
        engines.append(Engine.start(config, lambda: wrap(load(config))))
        return engines[-1]

    yield made
    for engine in engines:
        await engine.close(timeout=5)


def ask(name: str, steps: int = 2) -> ImageRequest:
    return ImageRequest(name, PROMPTS[name], 256, 256, steps, ord(name))


def edit(name: str) -> ImageRequest:
    """Return an edit of a grey picture, which needs a unit of each kind."""
    grey = RawImage(256, 256, bytes([128]) * (3 * 256 * 256))
    return replace(ask(name), image=grey, strength=0.9)


@pytest.fixture(scope="module")
def undisturbed(cache_dir: Path) -> dict[str, bytes]:
    return _each_alone(ask, cache_dir)


@pytest.fixture(scope="module")
def undisturbed_edits(cache_dir: Path) -> dict[str, bytes]:
    return _each_alone(edit, cache_dir)


def _each_alone(make: Callable[[str], ImageRequest], cache_dir: Path) -> dict[str, bytes]:
    """Return each picture as generated alone."""

    async def draw() -> dict[str, bytes]:
        engine = start_engine(EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir))
        pictures = {name: (await engine.submit(make(name), owner=1).result()).image.data for name in PROMPTS}
        await engine.close()
        return pictures

    return asyncio.run(draw())


async def outcomes(engine: Engine, make: Callable[[str], ImageRequest] = ask) -> dict[str, bytes | Exception]:
    """Submit all four at once for four owners; return pictures and errors."""
    handles = {name: engine.submit(make(name), owner=name) for name in PROMPTS}
    ended: dict[str, bytes | Exception] = {}
    for name, handle in handles.items():
        try:
            ended[name] = (await handle.result()).image.data
        except EngineError as error:
            ended[name] = error
    return ended


def same(one: bytes | Exception, other: bytes) -> bool:
    assert isinstance(one, bytes), one
    a, b = (torch.frombuffer(bytearray(data), dtype=torch.uint8).int() for data in (one, other))
    return int((a - b).abs().max()) <= 1


def break_for(prompt: str, unit: Unit, error: Callable[[], BaseException]) -> Wrap:
    """Wrap the real worker so that its model raises in one unit if that prompt is in it."""

    def wrap(worker: Worker) -> Executor:
        model: Any = worker.model
        original = getattr(model, METHODS[unit])

        def broken(argument: Any) -> Any:
            requests = [argument] if unit is Unit.ENCODE_TEXT else [
                generation.request for generation in (argument if unit is Unit.DENOISE else [argument])
            ]  # fmt: skip
            if prompt in {request.prompt for request in requests}:
                raise error()
            return original(argument)

        setattr(model, METHODS[unit], broken)
        return worker

    return wrap


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize(
    ("raised", "ends_with"),
    [
        (lambda: RuntimeError("the kernel is on fire"), UnitFailed),
        (lambda: torch.OutOfMemoryError("too large"), OutOfMemory),
        (lambda: NumericalError("not finite"), NumericalError),
    ],
    ids=["exception", "memory", "numbers"],
)
async def test_the_request_that_causes_a_failure_fails_alone(
    start: Callable[..., Engine],
    undisturbed_edits: dict[str, bytes],
    unit: Unit,
    raised: Callable[[], BaseException],
    ends_with: type[Exception],
) -> None:
    ended = await outcomes(start(break_for(PROMPTS["b"], unit, raised)), edit)
    assert isinstance(ended.pop("b"), ends_with)
    assert all(same(data, undisturbed_edits[name]) for name, data in ended.items())


@pytest.mark.parametrize("unit", list(Unit))
async def test_a_slow_unit_delays_and_nothing_else(
    start: Callable[..., Engine], undisturbed_edits: dict[str, bytes], unit: Unit
) -> None:
    """A unit far slower than measured: all pictures come, submitting does not wait, and the costs are corrected."""

    pause: list[float] = []

    def wrap(worker: Worker) -> Executor:
        original = getattr(worker.model, METHODS[unit])

        def slow(argument: Any) -> Any:
            time.sleep(pause[0])
            return original(argument)

        setattr(worker.model, METHODS[unit], slow)
        return worker

    engine = start(wrap)
    await engine.ready()
    measured = engine._queue._unit_seconds(edit("a"))[unit]
    pause.append(max(0.25, 2 * measured))
    lags: list[float] = []

    async def look() -> None:
        while True:
            began = time.monotonic()
            engine.stats()
            engine.submit(replace(ask("d"), id=f"{began}"), owner="in passing").cancel()
            lags.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    ended = await outcomes(engine, edit)
    looking.cancel()
    assert all(same(data, undisturbed_edits[name]) for name, data in ended.items())
    assert sorted(lags)[len(lags) * 9 // 10] < pause[0] / 2
    assert engine._queue._unit_seconds(edit("a"))[unit] > measured


async def test_a_batch_that_does_not_fit_is_drawn_in_smaller_ones(
    start: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    sizes: list[int] = []

    def wrap(worker: Worker) -> Executor:
        step = worker.model.step

        def small(generations: Any) -> Any:
            sizes.append(len(generations))
            if len(generations) > 1:
                raise torch.OutOfMemoryError("too large")
            return step(generations)

        worker.model.step = small  # type: ignore[method-assign]
        return worker

    ended = await outcomes(start(wrap))
    assert all(same(data, undisturbed[name]) for name, data in ended.items())
    assert max(sizes) > 1
    assert sizes[-4:] == [1, 1, 1, 1]


async def test_pixels_that_are_not_finite_are_decoded_once_more_in_full_precision(
    start: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    seen: list[torch.dtype] = []

    def wrap(worker: Worker) -> Executor:
        vae: Any = worker.model.parts.vae.to(torch.bfloat16)
        decode = vae.decode

        def overflows(latents: torch.Tensor, **options: Any) -> Any:
            seen.append(latents.dtype)
            out = decode(latents, **options)
            return out if latents.dtype is torch.float32 else (out[0] * float("inf"),)

        vae.decode = overflows
        return worker

    engine = start(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
    data = (await engine.submit(ask("a"), owner=1).result()).image.data
    assert seen == [torch.bfloat16, torch.float32]
    assert len(data) == len(undisturbed["a"])


async def test_a_large_picture_that_cannot_be_decoded_at_once_is_decoded_in_tiles(start: Callable[..., Engine]) -> None:
    large = replace(ask("a"), width=512, height=512)
    drawn: list[np.ndarray] = []

    def little_memory(worker: Worker) -> Executor:
        decoder: Any = worker.model.parts.vae.decoder  # type: ignore[union-attr]
        forward = decoder.forward

        def small(latents: torch.Tensor, *rest: Any) -> Any:
            if latents.shape[-1] > 16:
                raise torch.OutOfMemoryError("too large")
            return forward(latents, *rest)

        decoder.forward = small
        return worker

    for wrap in (lambda worker: worker, little_memory):
        engine = start(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
        image = (await engine.submit(large, owner=1).result()).image
        drawn.append(np.frombuffer(image.data, np.uint8).astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() < 40, "tiles know less of the whole, yet it is the same picture"


async def test_a_lost_worker_is_replaced_and_everything_begins_again(
    start: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    workers: list[Executor] = []

    class Dies:
        def __init__(self, worker: Worker) -> None:
            self.worker, self.device, self.costs, self.units = worker, worker.device, worker.costs, 0
            workers.append(self)

        def execute(self, plan: Plan) -> PlanResult:
            self.units += 1
            if len(workers) == 1 and self.units == 5:
                raise WorkerLost("the device fell off the bus")
            return self.worker.execute(plan)

    ended = await outcomes(start(Dies))
    assert all(same(data, undisturbed[name]) for name, data in ended.items())
    assert len(workers) == 2


async def test_a_worker_that_is_always_lost_ends_the_engine(start: Callable[..., Engine]) -> None:
    class Dead:
        def __init__(self, worker: Worker) -> None:
            self.device, self.costs = worker.device, worker.costs

        def execute(self, plan: Plan) -> PlanResult:
            raise WorkerLost("the device fell off the bus")

    engine = start(Dead)
    ended = await outcomes(engine)
    assert all(isinstance(error, UnitFailed | DeviceLost) for error in ended.values())
    assert isinstance(await asyncio.wait_for(engine.lost(), 10), DeviceLost)
    with pytest.raises(DeviceLost):
        engine.submit(ask("a"), owner=1)


async def test_a_device_that_cannot_be_loaded_again_is_lost(start: Callable[..., Engine]) -> None:
    """If every new load fails, the device is reported lost, so that the program can exit."""
    loads: list[int] = []

    class Poisoned:
        def __init__(self, worker: Worker) -> None:
            loads.append(1)
            if len(loads) > 1:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            self.device, self.costs = worker.device, worker.costs

        def execute(self, plan: Plan) -> PlanResult:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = start(Poisoned)
    with pytest.raises(DeviceLost):
        await engine.submit(ask("a"), owner=1).result()
    assert isinstance(await asyncio.wait_for(engine.lost(), 10), DeviceLost)


async def test_a_bug_in_the_queue_fails_every_request(
    start: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    await engine.ready()
    monkeypatch.setattr(engine._queue, "done", lambda *_: 1 / 0)
    with pytest.raises(DeviceLost, match="has to be restarted"):
        await engine.submit(ask("a"), owner=1).result()


async def test_running_out_of_memory_while_requests_run_apart_fails_that_request(
    start: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    """After an exception in a batch one of its requests runs out of memory: the others step once, not twice."""

    def wrap(worker: Worker) -> Executor:
        step = worker.model.step

        def broken(generations: Any) -> Any:
            if len(generations) > 1:
                raise RuntimeError("the kernel is on fire")
            if generations[0].request.id == "b":
                raise torch.OutOfMemoryError("too large")
            return step(generations)

        worker.model.step = broken  # type: ignore[method-assign]
        return worker

    ended = await outcomes(start(wrap))
    assert isinstance(ended.pop("b"), OutOfMemory)
    assert all(same(data, undisturbed[name]) for name, data in ended.items())


async def test_a_unit_that_hangs_is_given_up_by_the_watchdog(start: Callable[..., Engine]) -> None:
    gate = threading.Event()
    engine = start(lambda worker: Faulty(worker, Unit.DENOISE, gate=gate), unit_limit=1.5)
    began = time.monotonic()
    with pytest.raises(DeviceLost, match="hangs"):
        await engine.submit(ask("a"), owner=1).result()
    assert time.monotonic() - began < 30
    assert isinstance(await engine.lost(), DeviceLost)
    gate.set()


async def test_closing_in_the_middle_of_a_batch_ends_with_the_unit(start: Callable[..., Engine]) -> None:
    engine = start()
    handles = [engine.submit(ask(name, steps=20), owner=name) for name in PROMPTS]
    async for event in handles[0]:
        if getattr(event, "done", 0) > 2:
            break
    await engine.close(drain=False, timeout=10)
    assert not engine._thread.is_alive()
    assert engine.stats().waiting == engine.stats().running == 0
