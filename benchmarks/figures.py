"""The figures of the benchmark, with the goals of docs/engine.md."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

from benchmarks import several_devices
from benchmarks.policies import Fifo
from benchmarks.rows import Row
from benchmarks.simulated import Device
from benchmarks.workbench import Workbench, ask, open_workbench
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Task
from zimage_engine.types import Cancelled, ImageRequest, Queued, Step, Unit

Figure = Callable[[Workbench, int], Awaitable[list[Row]]]
_MIXED = [((256, 256), 8), ((320, 192), 4), ((192, 320), 8), ((256, 256), 4)]


async def one_image(bench: Workbench, rounds: int) -> list[Row]:
    """Compare one picture through the engine with one pipeline call, for a new prompt and for a cached one."""
    new, known, bare_new, bare_known = [], [], [], []
    for _ in range(3 * rounds):
        plain = bench.by_pipeline([ask()])
        new.append(await bench.by_engine([ask()]) / plain)
        known.append(await bench.by_engine([ask(new_prompt=False)]) / plain)
        bare_new.append(bench.bare([ask()], 1) / plain)
        bare_known.append(bench.bare([ask(new_prompt=False)], 1) / plain)
    return [
        Row("one image, new prompt: engine ÷ pipeline", median(new), "", 1.0, median(bare_new)),
        Row("one image, known prompt", median(known), "", 0.95, median(bare_known)),
    ]


async def throughput(bench: Workbench, rounds: int) -> list[Row]:
    """Compare 32 pictures queued at once, equal and mixed, with 32 pipeline calls and with the bare model calls."""
    alike, mixed, floor, saturated, busy, bare_busy = [], [], [], [], [], []
    for _ in range(rounds):
        plain = bench.by_pipeline([ask() for _ in range(32)])
        engine = await bench.by_engine([ask() for _ in range(32)])
        bare = bench.bare([ask() for _ in range(32)], bench.batch)
        alike.append(plain / engine)
        floor.append(plain / bare)
        saturated.append(bare / engine)
        async with busy_loop(0.3):
            busy.append(bare / await bench.by_engine([ask() for _ in range(32)]))
            bare_busy.append(bare / await asyncio.to_thread(bench.bare, [ask() for _ in range(32)], bench.batch))
        mixed.append(bench.by_pipeline(mixture()) / await bench.by_engine(mixture()))
    return [
        Row("32 queued images: throughput ÷ pipeline", median(alike), "", 1.3, median(floor), "≥"),
        Row("32 mixed sizes and steps", median(mixed), "", 1.25, None, "≥"),
        Row("saturated throughput ÷ bare loop of the same calls", median(saturated), "", 0.95, None, "≥"),
        Row("the same, event loop 30 % busy", median(busy), "", 0.8, median(bare_busy), "≥"),
    ]


async def fairness(bench: Workbench, rounds: int) -> list[Row]:
    """Compare a burst of one heavy and five light owners with FIFO; and one picture behind forty of another owner."""
    ratios, behind, errors = [], [], []
    async with open_workbench(Fifo) as fifo:
        for _ in range(rounds):
            ours, wrong = await burst(bench)
            ratios.append(ours / (await burst(fifo))[0])
            errors += wrong
    for _ in range(rounds):
        alone = await bench.by_engine([ask()])
        flood = [bench.engine.submit(ask(), owner="flood") for _ in range(40)]
        await until_started(flood[2])
        behind.append(await bench.by_engine([ask()], owner="one") / alone)
        for handle in flood:
            handle.cancel()
        await asyncio.gather(*(handle.result() for handle in flood), return_exceptions=True)
    return [
        Row("mixed burst: mean finish ÷ FIFO", median(ratios), "", 0.7),
        Row("one image behind another owner's 40: time ÷ alone", median(behind), "", 2.0),
        Row("expected time: median error ÷ actual", median(errors), "", 0.25),
    ]


async def cancelling(bench: Workbench, rounds: int) -> list[Row]:
    """Measure the time from the cancel of a running picture to its end, in units of its steps."""
    taken = []
    for _ in range(4 * rounds):
        handle = bench.engine.submit(ask(size=(512, 512)), owner="bench")
        stamps: list[float] = []
        async for event in handle:
            stamps.append(time.perf_counter())
            if isinstance(event, Step) and event.done == 3:
                handle.cancel()
            if isinstance(event, Cancelled):
                taken.append((stamps[-1] - stamps[-2]) / statistics.median(_gaps(stamps[:-1])))
    return [Row("cancel to freed", median(taken), "units", 1.0, 1.0)]


async def event_loop_lag(bench: Workbench, rounds: int) -> list[Row]:
    """Measure how late a timer of the event loop fires while the device is saturated."""
    lags: list[float] = []
    async with asyncio.TaskGroup() as group:
        generation = group.create_task(bench.by_engine([ask() for _ in range(16 * rounds)]))
        while not generation.done():
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            lags.append(1000 * (time.perf_counter() - due))
    return [Row("event-loop lag while saturated, p99", statistics.quantiles(lags, n=100)[98], "ms", 20.0)]


def planning() -> list[Row]:
    """Time ``next`` in the steady state of serving, and compare a hundred times as many requests and owners."""
    many = [planning_time(10_000, 1000) / planning_time(100, 10) for _ in range(5)]
    devices = [several_devices.planning_time(64) / several_devices.planning_time(1, 100, 10) for _ in range(5)]
    return [
        Row("planning with 1,000 waiting of 100 owners", planning_time(1000, 100), "ms", 1.0),
        Row("planning with 10,000 waiting of 1,000 owners ÷ 100 of 10", median(many), "", 2.0),
        Row("planning for 64 devices, 10,000 waiting ÷ one, 100", median(devices), "", 2.0),
    ]


def planning_time(requests: int, owners: int) -> float:
    """Return the median milliseconds of ``next`` with so many waiting, in ten groups."""
    scheduler = Scheduler()
    scheduler.add_device("gpu", {"": CostModel(base=0.05, linear=5e-4, budget=8 * 96)})
    units = (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * 8, Unit.DECODE)
    costs = {Unit.ENCODE_TEXT: 0.02, Unit.DENOISE: 0.1, Unit.DECODE: 0.1}
    for number in range(requests):
        tokens = 96 * (1 + number % 3)
        owner = number % owners
        scheduler.add(Task(str(number), owner, units, costs, shape=tokens, tokens=tokens, group=owner % 10))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        batch = scheduler.next("gpu")
        times.append(1000 * (time.perf_counter() - began))
        assert batch is not None
        scheduler.served("gpu", batch)
        for task in batch.tasks:
            if task.key is None:
                scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
    return median(times)


def starvation() -> list[Row]:
    """Simulate one long request while small ones of new owners keep the device busy without end."""
    device = Device(Scheduler)
    long = device.ask("long", steps=22)
    alone, strangers, waiting = long.remaining, itertools.count(), long
    while long.id not in device.ended and device.clock < 100 * alone:
        if waiting is long or waiting.id in device.ended:
            waiting = device.ask(f"new {next(strangers)}", side=512)
        device.serve()
    return [Row("12 s of work among new owners without end: time ÷ alone", device.clock / alone, "", 5.0)]


def importing() -> list[Row]:
    """Time ``import zimage_engine`` in a new process, which must not import torch, without the interpreter's start."""
    code = (
        "import sys, time; began = time.perf_counter(); import zimage_engine; "
        "print(time.perf_counter() - began, 'torch' in sys.modules)"
    )
    seconds = []
    for _ in range(7):
        printed = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
        assert printed[1] == "False", "importing the engine loads torch"
        seconds.append(float(printed[0]))
    return [Row("import zimage_engine", median(seconds), "s", 0.1)]


ON_THE_BENCH: tuple[Figure, ...] = (one_image, throughput, fairness, cancelling, event_loop_lag)
ALONE: tuple[Callable[[], list[Row]], ...] = (planning, starvation, importing)


def median(values: list[float]) -> float:
    return statistics.median(values)


def mixture() -> list[ImageRequest]:
    return [ask(size=_MIXED[i % 4][0], steps=_MIXED[i % 4][1]) for i in range(32)]


async def burst(bench: Workbench) -> tuple[float, list[float]]:
    """Submit one owner's 12 large pictures, then 1 to 4 small ones each of five owners.

    Returns the mean seconds to the end and, for each request, the relative error of its first ETA.
    """
    asks = [("heavy", ask(size=(512, 512), steps=4)) for _ in range(12)]
    asks += [(f"light {owner}", ask()) for owner in range(5) for _ in range(1 + owner % 4)]
    began = time.perf_counter()
    handles = [bench.engine.submit(request, owner=owner) for owner, request in asks]

    async def watch(handle: object) -> tuple[float, float | None]:
        first: tuple[float, float] | None = None
        async for event in handle:  # type: ignore[attr-defined]
            if isinstance(event, Queued) and event.eta and first is None:
                first = (time.perf_counter(), event.eta)
        end = time.perf_counter()
        return end - began, abs(first[1] - (end - first[0])) / (end - first[0]) if first else None

    watched = await asyncio.gather(*(watch(handle) for handle in handles))
    return statistics.mean(end for end, _ in watched), [wrong for _, wrong in watched if wrong is not None]


async def until_started(handle: object) -> None:
    async for event in handle:  # type: ignore[attr-defined]
        if isinstance(event, Step):
            return


@asynccontextmanager
async def busy_loop(share: float) -> AsyncIterator[None]:
    """Keep the event loop busy with Python code for a share of the time, in slices of 3 ms."""

    async def burn() -> None:
        while True:
            end = time.perf_counter() + 0.003
            while time.perf_counter() < end:
                sum(range(100))
            await asyncio.sleep(0.003 * (1 - share) / share)

    task = asyncio.create_task(burn())
    try:
        yield
    finally:
        task.cancel()


def _gaps(stamps: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(stamps)]
