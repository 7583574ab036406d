"""Units that are slow or hang, a device that is lost, and closing in the middle of a batch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.helpers.faults import Faulty, Immediate
from tests.helpers.four_requests import METHODS, PROMPTS, SIDE, make_edit, make_request, outcomes, same_picture
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import DeviceLost, ModelNotFound, Plan, PlanResult, Unit, UnitFailed, WorkerLost


@pytest.mark.parametrize("unit", METHODS)
async def test_a_slow_unit_delays_and_nothing_else(
    start_demo: Callable[..., Engine], undisturbed_edits: dict[str, bytes], unit: Unit
) -> None:
    """A unit far slower than measured: all pictures come, submitting does not wait, and the costs are corrected."""

    pause: list[float] = []

    def wrap(worker: Worker) -> UnitWorker:
        original = getattr(worker.model, METHODS[unit])

        def slow(argument: Any, *rest: Any) -> Any:
            time.sleep(pause[0])
            return original(argument, *rest)

        setattr(worker.model, METHODS[unit], slow)
        return worker

    engine = start_demo(wrap)
    await engine.ready()
    measured = engine._queue.predictions._unit_seconds(make_edit("a"), [32])[unit]
    pause.append(max(0.25, 2 * measured))
    lags: list[float] = []

    async def look() -> None:
        while True:
            began = time.monotonic()
            engine.stats()
            engine.submit(replace(make_request("d"), id=f"{began}"), owner="in passing").cancel()
            lags.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    ended = await outcomes(engine, make_edit)
    looking.cancel()
    assert all(same_picture(data, undisturbed_edits[name]) for name, data in ended.items())
    assert sorted(lags)[len(lags) * 9 // 10] < pause[0] / 2
    assert engine._queue.predictions._unit_seconds(make_edit("a"), [32])[unit] > measured


async def test_a_lost_worker_is_replaced_and_everything_begins_again(
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    workers: list[UnitWorker] = []

    class Dies(Immediate):
        def __init__(self, worker: Worker) -> None:
            super().__init__(worker)
            self.units = 0
            workers.append(self)

        def execute(self, plan: Plan) -> PlanResult:
            self.units += 1
            if len(workers) == 1 and self.units == 5:
                raise WorkerLost("the device fell off the bus")
            return super().execute(plan)

    ended = await outcomes(start_demo(Dies))
    assert all(same_picture(data, undisturbed[name]) for name, data in ended.items())
    assert len(workers) == 2


async def test_a_worker_that_is_always_lost_ends_the_engine(start_demo: Callable[..., Engine]) -> None:
    class Dead(Immediate):
        def execute(self, plan: Plan) -> PlanResult:
            raise WorkerLost("the device fell off the bus")

    engine = start_demo(Dead)
    ended = await outcomes(engine)
    assert all(isinstance(error, UnitFailed | DeviceLost) for error in ended.values())
    assert isinstance(await asyncio.wait_for(engine.lost(), 10), DeviceLost)
    with pytest.raises(DeviceLost):
        engine.submit(make_request("a"), owner=1)


async def test_a_worker_that_is_none_ends_loading_with_an_error(start_demo: Callable[..., Engine]) -> None:
    """What raises in the executor's thread is never waited for in vain."""
    engine = start_demo(lambda _: object())
    with pytest.raises(ModelNotFound, match="AttributeError"):
        await asyncio.wait_for(engine.ready(), 30)


async def test_a_device_that_cannot_be_loaded_again_is_lost(start_demo: Callable[..., Engine]) -> None:
    """If every new load fails, the device is reported lost, so that the program can exit."""
    loads: list[int] = []

    class Poisoned(Immediate):
        def __init__(self, worker: Worker) -> None:
            loads.append(1)
            if len(loads) > 1:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            super().__init__(worker)

        def execute(self, plan: Plan) -> PlanResult:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine = start_demo(Poisoned)
    with pytest.raises(DeviceLost):
        await engine.submit(make_request("a"), owner=1).result()
    assert isinstance(await asyncio.wait_for(engine.lost(), 10), DeviceLost)


async def test_a_bug_in_the_queue_fails_every_request(
    start_demo: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_demo()
    await engine.ready()
    monkeypatch.setattr(engine._queue, "done", lambda *_: 1 / 0)
    with pytest.raises(DeviceLost, match="has to be restarted"):
        await engine.submit(make_request("a"), owner=1).result()


async def test_a_unit_that_hangs_is_given_up_by_the_watchdog(start_demo: Callable[..., Engine]) -> None:
    gate = threading.Event()
    engine = start_demo(lambda worker: Faulty(worker, Unit.DENOISE, gate=gate), unit_limit=1.5)
    began = time.monotonic()
    with pytest.raises(DeviceLost, match="hangs"):
        await engine.submit(make_request("a"), owner=1).result()
    assert time.monotonic() - began < 30
    assert isinstance(await engine.lost(), DeviceLost)
    gate.set()


async def test_loading_that_hangs_is_given_up_by_the_watchdog(start_demo: Callable[..., Engine]) -> None:
    gate = threading.Event()

    def hangs(worker: Worker) -> UnitWorker:
        gate.wait(30)
        return worker

    engine = start_demo(hangs, load_limit=0.5)
    handle = engine.submit(make_request("a"), owner=1)
    for ended in (engine.ready(), handle.result()):
        with pytest.raises(DeviceLost, match="hangs"):
            await ended
    assert isinstance(await engine.lost(), DeviceLost)
    gate.set()


async def test_a_unit_that_takes_long_as_predicted_is_no_hang(
    start_demo: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is five times what is predicted, if that is more than ``unit_limit``."""

    class Slow(Immediate):
        def __init__(self, worker: Worker) -> None:
            super().__init__(worker)
            self.costs = {"demo": CostModel(base=0.5)}

        def execute(self, plan: Plan) -> PlanResult:
            if plan.unit is Unit.DENOISE:
                time.sleep(1.2)
            return super().execute(plan)

    monkeypatch.setattr("zimage_engine.watchdog._CHECK_SECONDS", 0.1)
    engine = start_demo(Slow, unit_limit=0.7)
    assert (await engine.submit(make_request("a", steps=1), owner=1).result()).image.width == SIDE


async def test_closing_in_the_middle_of_a_batch_ends_with_the_unit(start_demo: Callable[..., Engine]) -> None:
    engine = start_demo()
    handles = [engine.submit(make_request(name, steps=20), owner=name) for name in PROMPTS]
    async for event in handles[0]:
        if getattr(event, "done", 0) > 2:
            break
    await engine.close(drain=False, timeout=10)
    assert engine._fleet.join(0)
    assert engine.stats().waiting == engine.stats().running == 0
