"""The engine's asyncio interface, with the demo model: events, cancelling, failures, closing."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.engines import start_engine
from tests.helpers.faults import Faulty, Immediate
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker
from zimage_engine.stats import UnitRecord
from zimage_engine.types import (
    Cancelled,
    EngineClosed,
    Event,
    Failed,
    Finished,
    ImageRequest,
    InvalidRequest,
    ModelNotFound,
    NumericalError,
    Plan,
    PlanResult,
    Queued,
    Step,
    Unit,
)
from zimage_engine.weights import complete_profile

StartEngine = Callable[..., Engine]


def request(name: str, **changes: object) -> ImageRequest:
    fields: dict[str, object] = {"prompt": "a red circle", "width": 256, "height": 256, "steps": 2, "seed": 3}
    return ImageRequest(name, **(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
async def start(cache_dir: Path) -> AsyncIterator[StartEngine]:
    engines: list[Engine] = []

    def made(wrap: Callable[[Worker], UnitWorker] = lambda worker: worker, **changes: object) -> Engine:
        config = EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir)
        config = replace(config, **changes)  # type: ignore[arg-type]
        engines.append(start_engine(config, wrap))
        return engines[-1]

    yield made
    for engine in engines:
        await engine.close(timeout=5)


async def events_of(engine: Engine, wanted: ImageRequest) -> list[Event]:
    return [event async for event in engine.submit(wanted, owner=1)]


async def test_a_request_is_queued_stepped_and_finished(start: StartEngine) -> None:
    events = await events_of(start(), request("a", steps=4))
    assert isinstance(events[0], Queued)
    assert [event.done for event in events if isinstance(event, Step)] == sorted(
        event.done for event in events if isinstance(event, Step)
    )
    assert isinstance(events[-1], Finished)
    assert (events[-1].image.width, events[-1].image.height) == (256, 256)
    assert events[-1].seconds > 0


async def test_an_observer_is_told_of_each_unit_and_cannot_stop_the_engine(start: StartEngine) -> None:
    engine, records = start(), list[UnitRecord]()

    def observe(record: UnitRecord) -> None:
        records.append(record)
        raise RuntimeError("the observer's own fault")

    engine.observe(observe)
    await events_of(engine, request("a", steps=2))
    await until(lambda: len(records) == 4)
    assert [record.unit for record in records] == [Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DENOISE, Unit.DECODE]
    assert all(record.seconds > 0 and record.predicted > 0 and record.requests == 1 for record in records)
    assert [record.fill is None for record in records] == [True, False, False, True]
    assert 0 < (records[1].fill or 0) <= 1
    assert sum(record.seconds for record in records) == pytest.approx(engine.stats().busy_seconds)


async def test_the_same_seed_draws_the_same_bytes_and_another_does_not(start: StartEngine) -> None:
    engine = start()
    first, second, other = [
        (await engine.submit(request(name, seed=seed), owner=1).result()).image.data
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert first == second != other


async def test_requests_wait_while_the_model_loads(start: StartEngine) -> None:
    loaded = threading.Event()

    def slow(worker: Worker) -> UnitWorker:
        loaded.wait(30)
        return worker

    engine = start(slow)
    handle = engine.submit(request("a"), owner=1)
    assert (engine.stats().state, engine.stats().waiting) == ("loading", 1)
    loaded.set()
    await handle.result()
    assert engine.stats().state == "ready"


async def test_cancel_stops_at_the_end_of_the_running_unit(start: StartEngine) -> None:
    gate, entered = threading.Event(), threading.Event()
    engine = start(lambda worker: Faulty(worker, Unit.DENOISE, gate=gate, entered=entered))
    handle = engine.submit(request("a", steps=8), owner=1)
    waiting = engine.submit(request("b", width=512, height=512), owner=2)
    await until(entered.is_set)
    handle.cancel()
    waiting.cancel()
    assert [event async for event in waiting][-1] == Cancelled(0, 0.0)
    gate.set()
    last = [event async for event in handle][-1]
    assert isinstance(last, Cancelled)
    assert last.steps_done == 1
    await engine.submit(request("c"), owner=1).result()
    handle.cancel()  # a second cancel, after the end, is no error


async def test_a_request_that_fails_fails_alone(start: StartEngine) -> None:
    class BreaksOne(Immediate):
        def execute(self, plan: Plan) -> PlanResult:
            if plan.unit is Unit.DENOISE and "bad" in plan.ids:
                slot = self.inner._held["bad"].generation
                slot.latents = slot.latents * float("nan")
            return super().execute(plan)

    engine = start(BreaksOne)
    bad, good = engine.submit(request("bad"), owner=1), engine.submit(request("good"), owner=1)
    with pytest.raises(NumericalError, match="another seed"):
        await bad.result()
    await good.result()


async def test_an_exception_in_the_model_fails_the_request_and_not_the_engine(start: StartEngine) -> None:
    def breaks(worker: Worker) -> UnitWorker:
        original = worker.model.decode

        def once(generation):
            worker.model.decode = original  # type: ignore[method-assign]
            raise RuntimeError("the kernel is on fire")

        worker.model.decode = once  # type: ignore[method-assign]
        return worker

    engine = start(breaks)
    terminal = (await events_of(engine, request("a")))[-1]
    assert isinstance(terminal, Failed)
    assert terminal.error.code == "unit_failed"
    assert "fire" not in str(terminal.error)
    await engine.submit(request("b"), owner=1).result()


async def test_a_context_is_entered_when_the_model_is_loaded_and_closes_the_engine(start: StartEngine) -> None:
    engine = start()
    async with engine as entered:
        assert entered is engine
        assert engine.state == "ready"
    assert engine.state == "closed"
    with pytest.raises(EngineClosed):
        engine.submit(request("a"), owner=1)


async def test_a_context_that_cannot_be_entered_closes_the_engine(start: StartEngine) -> None:
    entering, loading = threading.Event(), threading.Event()

    def waiting(worker: Worker) -> UnitWorker:
        entering.set()
        loading.wait(30)
        return worker

    engine = start(waiting)
    task = asyncio.create_task(engine.__aenter__())
    await asyncio.sleep(0)  # it begins to wait, or else nothing would be cancelled
    await until(entering.is_set)
    task.cancel()
    await until(lambda: engine.state == "closed")
    loading.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_model_that_cannot_be_loaded_fails_what_waits_and_what_comes(start: StartEngine) -> None:
    submitted = threading.Event()

    def missing(_: Worker) -> UnitWorker:
        submitted.wait(30)
        raise ModelNotFound("there are no weights")

    engine = start(missing)
    handle = engine.submit(request("a"), owner=1)
    submitted.set()
    with pytest.raises(ModelNotFound):
        await engine.ready()
    with pytest.raises(ModelNotFound):
        await handle.result()
    with pytest.raises(ModelNotFound):
        engine.submit(request("b"), owner=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "  "},
        {"prompt": "x" * 4001},
        {"width": 250},
        {"width": 2560},
        {"seed": -1},
        {"seed": 2**32},
        {"steps": 0},
        {"steps": 99},
        {"guidance_scale": 2.0},
        {"negative_prompt": "blur"},
        {"mask": Path("mask.png")},
        {"original": Path("original.png"), "strength": 0.0},
        {"original": Path("original.png"), "strength": 1.1},
    ],
)
async def test_what_the_profile_cannot_do_is_refused_at_once(start: StartEngine, changes: dict[str, object]) -> None:
    engine = start()
    with pytest.raises(InvalidRequest):
        engine.submit(request("a", **changes), owner=1)
    assert engine.stats().waiting == 0


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-300, 1e17, math.inf, math.nan])
@pytest.mark.parametrize("whose", ["weight", "group_weight"])
async def test_a_weight_that_would_spoil_the_sums_is_refused(start: StartEngine, whose: str, weight: float) -> None:
    engine = start()
    with pytest.raises(InvalidRequest, match=r"between 0\.001 and 1000"):
        engine.submit(request("a"), owner=1, **{whose: weight})  # type: ignore[arg-type]
    assert engine.stats().waiting == 0


async def test_close_ends_everything_that_waits(start: StartEngine) -> None:
    engine = start()
    handles = [engine.submit(request(f"{i}", steps=8), owner=i) for i in range(5)]
    await engine.close()
    for handle in handles:
        with pytest.raises(EngineClosed):
            await handle.result()
    with pytest.raises(EngineClosed):
        engine.submit(request("late"), owner=1)


async def test_close_with_drain_finishes_what_waits(start: StartEngine) -> None:
    engine = start()
    handles = [engine.submit(request(f"{i}"), owner=i) for i in range(3)]
    await engine.close(drain=True, timeout=60)
    assert engine._fleet.join(0), "it did not have to be abandoned"
    assert [(await handle.result()).image.width for handle in handles] == [256, 256, 256]


async def test_close_that_is_cancelled_still_ends_every_request(start: StartEngine) -> None:
    gate, entered = threading.Event(), threading.Event()
    engine = start(lambda worker: Faulty(worker, Unit.DENOISE, gate=gate, entered=entered))
    handles = [engine.submit(request(name), owner=name) for name in "ab"]
    await until(entered.is_set)
    closing = asyncio.create_task(engine.close(timeout=20))
    await asyncio.sleep(0)
    closing.cancel()
    for handle in handles:
        with pytest.raises(EngineClosed):
            await asyncio.wait_for(handle.result(), 5)
    gate.set()


async def test_close_while_the_model_loads_does_not_wait_for_it(
    start: StartEngine, caplog: pytest.LogCaptureFixture
) -> None:
    gate, entered = threading.Event(), threading.Event()

    def slow(worker: Worker) -> UnitWorker:
        entered.set()
        gate.wait(30)
        return worker

    engine = start(slow)
    handle = engine.submit(request("a"), owner=1)
    lost = asyncio.create_task(engine.lost())
    await until(entered.is_set)
    began = time.monotonic()
    await engine.close(timeout=20)
    assert time.monotonic() - began < 5
    for ended in (engine.ready(), handle.result()):
        with pytest.raises(EngineClosed):
            await ended
    assert engine.stats().state == "closed"
    assert not lost.done()
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in loud if record.name.startswith("zimage_engine")], "nothing is wrong"
    lost.cancel()
    gate.set()


async def test_close_gives_up_a_unit_that_hangs(start: StartEngine) -> None:
    gate, entered = threading.Event(), threading.Event()
    engine = start(lambda worker: Faulty(worker, Unit.DENOISE, gate=gate, entered=entered))
    handle = engine.submit(request("a"), owner=1)
    await until(entered.is_set)
    await engine.close(timeout=0.2)
    with pytest.raises(EngineClosed):
        await handle.result()
    gate.set()
    await until(lambda: engine._fleet.join(0))
    assert engine.stats().state == "closed", "the device is not lost"


def test_the_event_loop_closed_under_the_engine_is_survived(cache_dir: Path) -> None:
    async def leave() -> Engine:
        engine = start_engine(EngineConfig(complete_profile(find_profile("demo")), "cpu", cache_dir=cache_dir))
        await engine.ready()
        engine.submit(request("a", steps=8), owner=1)
        return engine

    engine = asyncio.run(leave())
    asyncio.run(engine.close(drain=True, timeout=30))
    assert engine._fleet.join(0)
    assert engine.stats().finished == 1


async def test_the_prompt_is_encoded_once(start: StartEngine) -> None:
    calls: list[str] = []

    def counting(worker: Worker) -> UnitWorker:
        encode = worker.model._encode

        def counted(prompt: str):
            calls.append(prompt)
            return encode(prompt)

        worker.model._encode = counted  # type: ignore[method-assign]
        return worker

    engine = start(counting)
    for name in "abc":
        await engine.submit(request(name), owner=1).result()
    assert calls == ["a red circle"]


async def test_a_prompt_of_more_than_512_tokens_is_reported(start: StartEngine) -> None:
    engine = start()
    short = await engine.submit(request("a"), owner=1).result()
    long = await engine.submit(request("b", prompt="red circle " * 300), owner=1).result()
    assert (short.truncated, long.truncated) == (False, True)
