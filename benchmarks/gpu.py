"""The engine beside ``ZImagePipeline`` on a GPU, as JSON: ``python -m benchmarks.gpu FOLDER [--out FILE]``.

FOLDER is a model in diffusers' layout, such as what ``benchmarks.random_weights`` writes. Measures pictures of 512² and
1024², one alone and four queued, with the model in a thread and in a process of its own, with and without one unit
launched ahead, eager and compiled. All take turns in rounds; a value is the median of its rounds' ratios.
``benchmarks/gpu.sh`` does everything, the weights included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

from benchmarks.full_size import difference
from benchmarks.workbench import Workbench, ask
from zimage_engine.catalog import GPU_PROFILE, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.devices import pick_device
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import ThreadExecutor, UnitWorker, load_worker
from zimage_engine.places import parse_places
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.weights import Report, complete_profile

_SIDES = (512, 1024)
_QUEUED = 4

Executor = ThreadExecutor | ProcessExecutor


@dataclass
class Contender:
    """An engine that takes part. ``ahead_seconds`` is what its executor launches one ahead."""

    name: str
    bench: Workbench
    executor: Executor
    ahead_seconds: float
    one: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    async def run(self, side: int, pipeline_one: float, pipeline_queued: float) -> None:
        """Measure one round against what the pipeline took in it."""
        self.executor.ahead_seconds = self.ahead_seconds
        new = partial(ask, size=(side, side))
        self.seconds.append(await self.bench.by_engine([new()]))
        self.one.append(self.seconds[-1] / pipeline_one)
        self.queued.append(pipeline_queued / await self.bench.by_engine([new() for _ in range(_QUEUED)]))

    def result(self) -> dict[str, float]:
        values = {
            "one image, s": statistics.median(self.seconds),
            "one image ÷ pipeline": statistics.median(self.one),
            f"{_QUEUED} queued: throughput ÷ pipeline": statistics.median(self.queued),
        }
        self.one, self.queued, self.seconds = [], [], []
        return {name: round(value, 3) for name, value in values.items()}


async def measure(
    folder: str, sides: Sequence[int], rounds: int, deadline: float, note: Callable[[str, Any], None]
) -> None:
    """Measure everything for which there is time before ``deadline`` (seconds of the monotonic clock)."""
    profile = complete_profile(find_profile(GPU_PROFILE, weights=folder))
    config = EngineConfig(profile, cache_dir=Path(folder))
    workers: list[Worker] = []

    def load(report: Report) -> Worker:
        workers.append(Worker.load(config, report=report))
        return workers[-1]

    thread = ThreadExecutor(load)
    place = parse_places(config.device, config.profiles)[0]
    process = ProcessExecutor(partial(load_worker, config, place), profile.max_pixels)
    began = time.monotonic()
    threaded = Engine.start(config, lambda _: thread)
    await threaded.ready()
    note("load in a thread, s", round(time.monotonic() - began, 1))
    pipeline = _pipeline(workers[0])
    began = time.monotonic()
    apart = Engine.start(config, lambda _: process)
    await apart.ready()
    note("load in a process, s", round(time.monotonic() - began, 1))
    ahead = workers[0].ahead_seconds
    benches = [Workbench(threaded, workers[0], pipeline), Workbench(apart, workers[0], pipeline)]
    contenders = [
        Contender("thread", benches[0], thread, 0.0),
        Contender("thread, one unit ahead", benches[0], thread, ahead),
        Contender("process", benches[1], process, 0.0),
        Contender("process, one unit ahead", benches[1], process, ahead),
    ]
    try:
        note("a step waits for the device", _waits(workers[0]))
        for side in sides:
            note(f"{side}² eager", await _rounds(contenders, side, rounds))
            note(f"{side}² pixels differ by", await _differences(contenders, side))
        began = time.monotonic()
        await apart.close()
        compiled = ProcessExecutor(partial(_load_compiled, config), profile.max_pixels)
        apart = Engine.start(config, lambda _: compiled)
        _compile(workers[0])
        await apart.ready()
        for contender in contenders[2:]:
            contender.bench, contender.executor = Workbench(apart, workers[0], pipeline), compiled
        for side in sides:
            if time.monotonic() > deadline:
                note(f"{side}² compiled", "no time left")
                continue
            note(f"{side}² compiled", await _rounds(contenders, side, rounds))
        note("compiling and measuring it, s", round(time.monotonic() - began, 1))
    finally:
        await threaded.close()
        await apart.close()


def _load_compiled(config: EngineConfig, report: Report) -> UnitWorker:
    """Load a worker whose model is compiled by what is measured first, not for every size that the profile offers."""
    worker = Worker.load(config, report=report)
    _compile(worker)
    return worker


def _compile(worker: Worker) -> None:
    Acceleration(compiled=True).apply(worker.model.parts.transformer, resident=True)


def _pipeline(worker: Worker) -> ZImagePipeline:
    """Return a pipeline with the worker's parts."""
    parts = worker.model.parts
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config)
    pipeline = ZImagePipeline(scheduler, parts.vae, parts.text_encoder, parts.tokenizer, parts.transformer)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _waits(worker: Worker) -> str:
    """Return "no", or what in a step or a decode makes the processor wait for the device, which it should not."""
    generation = worker.model.start(ask(size=(512, 512)))
    worker.model.step([generation])
    torch.cuda.set_sync_debug_mode("error")
    try:
        worker.model.step([generation])
        worker.model.decode(generation)
    except RuntimeError as error:
        return str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "no"


async def _rounds(contenders: list[Contender], side: int, rounds: int) -> dict[str, Any]:
    """Return the contenders' results and the pipeline's seconds."""
    new = partial(ask, size=(side, side))
    bench = contenders[0].bench
    bench.by_pipeline([new()])
    for contender in contenders:
        await contender.bench.by_engine([new() for _ in range(2)])
    plain = []
    for _ in range(rounds):
        one, queued = bench.by_pipeline([new()]), bench.by_pipeline([new() for _ in range(_QUEUED)])
        plain.append(one)
        for contender in contenders:
            await contender.run(side, one, queued)
    pipeline = {"one image, s": round(statistics.median(plain), 3)}
    return {"pipeline": pipeline} | {contender.name: contender.result() for contender in contenders}


async def _differences(contenders: list[Contender], side: int) -> dict[str, str]:
    """Return how each contender's picture differs from the pipeline's, when others were generated beside it."""
    found = {}
    for contender in contenders:
        contender.executor.ahead_seconds = contender.ahead_seconds
        beside = [contender.bench.engine.submit(ask(size=(512, 512)), owner=number) for number in range(3)]
        request = ask(size=(side, side))
        mine = (await contender.bench.engine.submit(request, owner="bench").result()).image
        for handle in beside:  # the pipeline shares the modules, and must not run at the same time
            await handle.result()
        found[contender.name] = difference(mine, contender.bench.pipeline, request)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder")
    options.add_argument("--out", type=Path, default=Path("build/gpu.json"))
    options.add_argument("--side", type=int, action="append", help="of square pictures; may be given several times")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--minutes", type=float, default=5.0, help="no new measurement is begun after these")
    chosen = options.parse_args()
    device = pick_device()
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "torch": torch.__version__,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)

    def note(name: str, value: Any) -> None:
        """Keep what is known so far, in case the time runs out."""
        found[name] = value
        chosen.out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {json.dumps(value, ensure_ascii=False)}", flush=True)  # noqa: T201 - the result

    asyncio.run(
        measure(chosen.folder, chosen.side or _SIDES, chosen.rounds, time.monotonic() + 60 * chosen.minutes, note)
    )


if __name__ == "__main__":
    main()
