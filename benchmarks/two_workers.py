"""Two workers of one CPU thread behind one queue against one such worker, for ``make bench``.

    python -m benchmarks.two_workers

The floor is what this machine gives at best: two engines of one worker each, which know nothing of one another.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace

from benchmarks.figures import median
from benchmarks.rows import Row
from benchmarks.workbench import ask, demo_config
from zimage_engine.engine import Engine
from zimage_engine.places import DevicePlace

_PICTURES = 24
"""So many that it matters little which worker ends last."""
_GOAL = 1.7


async def two_workers(rounds: int) -> list[Row]:
    """Return the throughput of two workers ÷ that of one, for pictures that wait; each is a process of one thread."""
    one, another, two = (_engine(count) for count in (1, 1, 2))
    gains, floors = [], []
    try:
        for engine, count in ((one, 1), (another, 1), (two, 2)):
            await _all_ready(engine, count)
            await _draw(engine, 2 * count)
        for _ in range(rounds):
            alone = await _draw(one, _PICTURES)
            gains.append(alone / await _draw(two, _PICTURES))
            began = time.perf_counter()
            await asyncio.gather(*(_draw(engine, _PICTURES // 2) for engine in (one, another)))
            floors.append(alone / (time.perf_counter() - began))
    finally:
        await asyncio.gather(one.close(), another.close(), two.close())
    return [Row("pictures a second of two workers ÷ of one", median(gains), "", _GOAL, median(floors), "≥")]


def _engine(count: int) -> Engine:
    config = replace(demo_config(), device="cpu", worker="process", measure=False)
    places = [DevicePlace(f"cpu#{number + 1}", "cpu", (config.profile.name,), threads=1) for number in range(count)]
    return Engine.start(config, places=places)


async def _all_ready(engine: Engine, count: int) -> None:
    await engine.ready()
    while [device.state for device in engine.stats().devices] != ["ready"] * count:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.1)


async def _draw(engine: Engine, count: int) -> float:
    """Return the seconds that so many pictures take that are asked for at once, each by somebody else."""
    began = time.perf_counter()
    handles = [engine.submit(ask(), owner=number) for number in range(count)]
    for handle in handles:
        await handle.result()
    return time.perf_counter() - began


if __name__ == "__main__":
    (row,) = asyncio.run(two_workers(5))
    sys.stdout.write(f"{row.name}: {row.value:.2f}, goal {row.goal}, this machine at best {row.floor:.2f}\n")
