"""Two workers on the CPU behind one queue: the same pictures, and none of them lost when a worker is killed or hangs.

Each worker is a process with one thread and the demo model, which takes seconds to load.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.helpers.four_requests import same_picture
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.places import DevicePlace
from zimage_engine.stats import UnitRecord
from zimage_engine.types import Finished, ImageRequest
from zimage_engine.weights import complete_profile

pytestmark = pytest.mark.system

PROFILE = complete_profile(find_profile("demo"))
PICTURES = 4
UNIT_LIMIT = 5.0
"""Seconds after which a worker that does not answer is killed."""


def places(count: int) -> list[DevicePlace]:
    return [DevicePlace(f"cpu#{number + 1}", "cpu", ("demo",), threads=1) for number in range(count)]


@asynccontextmanager
async def engine_of(count: int, **changes: Any) -> AsyncIterator[Engine]:
    """Yield an engine with so many workers of one thread, all of them ready."""
    engine = Engine.start(EngineConfig(PROFILE, "cpu", measure=False, **changes), places=places(count))
    try:
        await until(lambda: [device.state for device in engine.stats().devices] == ["ready"] * count, 180)
        yield engine
    finally:
        await engine.close()


def requests(count: int, steps: int = 2) -> Iterator[ImageRequest]:
    return (PROFILE.request("a red circle", seed=number, steps=steps) for number in range(count))


async def draw(engine: Engine, count: int = PICTURES, steps: int = 2) -> list[bytes]:
    """Return the pictures with the seeds from 0 on, asked for at once."""
    handles = [engine.submit(request, owner=request.seed) for request in requests(count, steps)]
    return [(await handle.result()).image.data for handle in handles]


async def test_pictures_are_the_same_wherever_they_were_generated() -> None:
    async with engine_of(1) as one:
        expected = await draw(one)
    records: list[UnitRecord] = []
    async with engine_of(2) as two:
        two.observe(records.append)
        assert await draw(two) == expected, "each alone: byte for byte"
    assert {record.device for record in records} == {"cpu#1", "cpu#2"}
    async with engine_of(2, batch_tokens=4 * 96) as two:
        records.clear()
        two.observe(records.append)
        pictures = await draw(two)
    assert max(record.requests for record in records) > 1
    assert {record.device for record in records} == {"cpu#1", "cpu#2"}
    assert all(same_picture(picture, known) for picture, known in zip(pictures, expected, strict=True))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_worker_that_is_killed_or_hangs_costs_no_picture(number: signal.Signals) -> None:
    async with engine_of(2, unit_limit=UNIT_LIMIT) as engine:
        expected = await draw(engine, 12)
        handles = [engine.submit(replace(each, id=f"{each.seed}"), owner=each.seed) for each in requests(12)]
        ends: dict[str, list[str]] = {handle.request.id: [] for handle in handles}
        pictures: dict[str, bytes] = {}

        async def follow(handle: Any) -> None:
            async for event in handle:
                if isinstance(event, Finished):
                    pictures[handle.request.id] = event.image.data
                    ends[handle.request.id].append(engine.stats().devices[0].state)

        following = asyncio.gather(*map(follow, handles))
        await until(lambda: all(device.running for device in engine.stats().devices))
        executor: Any = engine._fleet.drivers[0]._executor
        os.kill(executor._process.pid, number)
        await asyncio.wait_for(following, 120)
        stats = engine.stats()
        assert [pictures[f"{seed}"] for seed in range(12)] == expected
        assert [len(each) for each in ends.values()] == [1] * 12, "each ends once"
        assert [device.restarts for device in stats.devices] == [1, 0]
        assert "recovering" in [state for each in ends.values() for state in each], "the other one went on meanwhile"
        assert (stats.waiting, stats.running, stats.finished, stats.failed) == (0, 0, 24, 0)
