"""A thousand operations from many tasks leave no thread, handle or memory behind.

The executor takes no time; everything else is real.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading

import psutil

from tests.helpers.engines import in_thread
from tests.helpers.faults import Immediate
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.handle import Handle
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import Cancelled, EngineError, Finished, ImageRequest, Plan, PlanResult, RawImage, Unit
from zimage_engine.weights import complete_profile


class Instant(Immediate):
    """A worker that takes no time and tracks which requests it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.costs = {"demo": CostModel(budget=8 * 96)}
        self.held: dict[str, ImageRequest] = {}

    def execute(self, plan: Plan) -> PlanResult:
        for name in plan.release:
            self.held.pop(name, None)
        self.held |= {new.request.id: new.request for new in plan.new}
        asks = [self.held[name] for name in plan.ids]
        images = {}
        if plan.unit is Unit.DECODE:
            images = {each.id: RawImage(each.width, each.height, bytes(3 * each.width)) for each in asks}
            for name in plan.ids:
                del self.held[name]
        texts = dict.fromkeys(plan.ids, (20,)) if plan.unit is Unit.ENCODE_TEXT else {}
        return PlanResult(1e-6, images, caption_tokens=texts)


def engine_with(worker: Instant) -> Engine:
    return Engine.start(EngineConfig(complete_profile(find_profile("demo"))), in_thread(lambda: worker))


def ask(number: int) -> ImageRequest:
    side = random.choice([256, 320, 512])
    return ImageRequest(f"r{number}", "a red circle", side, side, random.randint(1, 8), number)


async def member(engine: Engine, number: int, ended: list[object]) -> None:
    """Submit one request, perhaps cancel it after a moment, and wait for its end."""
    try:
        handle = engine.submit(ask(number), owner=number % 7)
    except EngineError as error:
        ended.append(error)
        return
    if random.random() < 0.4:
        await asyncio.sleep(random.random() * 0.01)
        handle.cancel()
    ended.append([event async for event in handle][-1])


async def round_of(operations: int) -> list[object]:
    """Run half of the operations, then close the engine during the other half."""
    ended: list[object] = []
    engine = engine_with(Instant())
    await engine.ready()
    first = [member(engine, number, ended) for number in range(operations // 2)]
    await asyncio.gather(*first)
    last = asyncio.gather(*(member(engine, number, ended) for number in range(operations // 2, operations)))
    await asyncio.sleep(0.005)
    await engine.close(drain=False)
    await last
    return ended


def handles_alive() -> int:
    gc.collect()
    return sum(type(each) is Handle for each in gc.get_objects())


async def test_a_thousand_operations_leave_nothing_behind() -> None:
    random.seed(1)
    threads, others = threading.active_count(), set(threading.enumerate())
    ended = await round_of(1000)
    assert len(ended) == 1000
    assert sum(isinstance(event, Finished) for event in ended) > 100
    assert sum(isinstance(event, Cancelled) for event in ended) > 10
    del ended
    await asyncio.sleep(0.05)
    assert handles_alive() == 0
    # The watchdog checks once a second; the executor of asyncio.to_thread keeps its own threads.
    for _ in range(30):
        started = [thread for thread in threading.enumerate() if thread not in others]
        alive = [thread.name for thread in started if thread.name.startswith("zimage")]
        if not alive:
            break
        await asyncio.sleep(0.1)
    assert alive == []
    assert threading.active_count() <= threads + 16


async def test_memory_does_not_grow_with_the_number_of_jobs() -> None:
    random.seed(2)
    engine = engine_with(Instant())
    await engine.ready()

    async def jobs(start: int, count: int) -> None:
        ended: list[object] = []
        for number in range(start, start + count, 50):
            await asyncio.gather(*(member(engine, each, ended) for each in range(number, number + 50)))

    process = psutil.Process()
    await jobs(0, 500)
    gc.collect()
    before = process.memory_info().rss
    await jobs(1000, 500)
    gc.collect()
    assert process.memory_info().rss <= before * 1.03
    assert (engine.stats().waiting, engine.stats().running) == (0, 0)
    await engine.close()
