"""The engine with its worker in a process of its own against the one with a thread, for ``make bench``."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from benchmarks.figures import busy_loop, median
from benchmarks.rows import Row
from benchmarks.workbench import Workbench, ask, demo_config
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.types import ImageRequest

_QUEUED = 32
_BENCHES: list[Workbench] = []
"""In the process that makes the bare calls: its model."""


async def worker_process(bench: Workbench, rounds: int) -> list[Row]:
    """Compare one picture with the thread's, and 32 beside a busy event loop with the bare calls without one.

    The floor of the second is that of the bare calls in a process of their own, beside the same loop.
    """
    engine = Engine.start(replace(demo_config(), worker="process"))
    await engine.ready()
    process = replace(bench, engine=engine)
    await process.by_engine([ask() for _ in range(bench.batch + 1)])
    one, busy, floor = [], [], []
    loop, spawn = asyncio.get_running_loop(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        await loop.run_in_executor(pool, _bare, [ask()], 1)  # loads
        for _ in range(4 * rounds):
            thread = await bench.by_engine([ask()])
            one.append(await process.by_engine([ask()]) / thread)
        for _ in range(rounds):
            bare = bench.bare([ask() for _ in range(_QUEUED)], bench.batch)
            async with busy_loop(0.3):
                busy.append(bare / await process.by_engine([ask() for _ in range(_QUEUED)]))
                asks = [ask() for _ in range(_QUEUED)]
                floor.append(bare / await loop.run_in_executor(pool, _bare, asks, bench.batch))
    await engine.close()
    return [
        Row("one image in a process of its own ÷ in a thread", median(one), "", 1.02),
        Row("saturated, event loop 30 % busy, in a process", median(busy), "", 0.8, median(floor), "≥"),
    ]


def _bare(asks: list[ImageRequest], batch: int) -> float:
    """Return the seconds of the bare calls for these requests in this process."""
    if not _BENCHES:
        worker = Worker.load(replace(demo_config(), measure=False))
        _BENCHES.append(Workbench(None, worker, None))  # type: ignore[arg-type] # neither takes part
        _BENCHES[0].bare(asks, batch)
    return _BENCHES[0].bare(asks, batch)
