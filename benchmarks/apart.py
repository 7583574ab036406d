"""The engine with its worker in a process of its own against the one with a thread, for ``make bench``."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import busy_loop, median
from benchmarks.rows import Row
from benchmarks.workbench import Workbench, ask, demo_config
from zimage_engine.engine import Engine


async def apart(bench: Workbench, rounds: int) -> list[Row]:
    """Compare one picture with the thread's, and 32 beside a busy event loop with the bare calls without one."""
    engine = Engine.start(replace(demo_config(), worker="process"))
    await engine.ready()
    process = replace(bench, engine=engine)
    await process.by_engine([ask() for _ in range(bench.batch + 1)])
    one, busy = [], []
    try:
        for _ in range(4 * rounds):
            thread = await bench.by_engine([ask()])
            one.append(await process.by_engine([ask()]) / thread)
        for _ in range(rounds):
            bare = bench.bare([ask() for _ in range(32)], bench.batch)
            async with busy_loop(0.3):
                busy.append(bare / await process.by_engine([ask() for _ in range(32)]))
    finally:
        await engine.close()
    return [
        Row("one image in a process of its own ÷ in a thread", median(one), "", 1.02),
        Row("saturated, event loop 30 % busy, in a process", median(busy), "", 0.8, None, "≥"),
    ]
