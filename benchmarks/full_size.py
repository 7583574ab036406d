"""The engine against plain diffusers with a full-size model on a GPU: ``python -m benchmarks.full_size FOLDER``.

FOLDER is a model in diffusers' layout, the real one or what ``benchmarks.random_weights`` writes. Engine and
pipeline share the loaded weights and take turns; ratios are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time
from functools import partial

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline
from rich.console import Console

from benchmarks.workbench import Workbench, ask
from zimage_engine.catalog import GPU_PROFILE, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.devices import pick_device
from zimage_engine.device.memory import GB
from zimage_engine.device.unit_benchmark import peak_memory
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import ThreadExecutor
from zimage_engine.types import ImageRequest, RawImage
from zimage_engine.weights import Report, complete_profile

_WARM_UP_PICTURES = 2


async def measure(config: EngineConfig, sides: list[int], count: int, rounds: int, console: Console) -> None:
    workers: list[Worker] = []

    def load(_: Report) -> Worker:
        workers.append(
            Worker.load(config, report=lambda stage: console.print(f"{time.perf_counter() - began:6.1f} s {stage}"))
        )
        return workers[-1]

    began = time.perf_counter()
    engine = Engine.start(config, lambda _: ThreadExecutor(load))
    await engine.ready()
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
    device = pick_device(config.device)
    console.print(
        f"ready after {time.perf_counter() - began:.1f} s on {workers[0].device}, host memory {host:.1f} GB at most"
    )
    parts = workers[0].model.parts
    console.print(f"{parts.placement.value}; costs {workers[0].costs}")
    pipeline = ZImagePipeline(
        FlowMatchEulerDiscreteScheduler.from_config(parts.scheduler_config),
        parts.vae,
        parts.text_encoder,
        parts.tokenizer,
        parts.transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    bench = Workbench(engine, workers[0], pipeline)
    try:
        for side in sides:
            await _compare(bench, side, count, rounds, console)
    finally:
        await engine.close()
    console.print(f"device memory {peak_memory(device) / GB:.1f} GB at most")


async def _compare(bench: Workbench, side: int, count: int, rounds: int, console: Console) -> None:
    """Print both times for one picture and for ``count`` queued ones, and how much their pixels differ."""
    new = partial(ask, size=(side, side))
    bench.by_pipeline([new()])
    await bench.by_engine([new() for _ in range(_WARM_UP_PICTURES)])
    one, many, seconds = [], [], []
    for _ in range(rounds):
        plain = bench.by_pipeline([new()])
        seconds.append(await bench.by_engine([new()]))
        one.append(seconds[-1] / plain)
        plain = bench.by_pipeline([new() for _ in range(count)])
        many.append(plain / await bench.by_engine([new() for _ in range(count)]))
    request = new()
    mine = (await bench.engine.submit(request, owner="bench").result()).image
    console.print(
        f"{side}²: one image {statistics.median(seconds):.2f} s, {statistics.median(one):.2f} of the pipeline's; "
        f"{count} queued: {statistics.median(many):.2f} × its throughput; "
        f"pixels differ by {difference(mine, bench.pipeline, request)}"
    )


def difference(mine: RawImage, pipeline: ZImagePipeline, request: ImageRequest) -> str:
    """Return in words how much a picture differs from the pipeline's."""
    ours = np.frombuffer(mine.data, np.uint8).reshape(mine.height, mine.width, 3).astype(int)
    theirs = pipeline(
        prompt=request.prompt,
        height=request.height,
        width=request.width,
        num_inference_steps=request.steps,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(request.seed),
    ).images[0]
    wrong = np.abs(ours - np.asarray(theirs).astype(int))
    return f"{wrong.mean():.2f} in the mean, {wrong.max()} at most (of 255)"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder")
    options.add_argument("--profile", default=GPU_PROFILE)
    options.add_argument("--device", default="auto")
    options.add_argument("--side", type=int, action="append", help="of square pictures; may be given several times")
    options.add_argument("--count", type=int, default=8, help="pictures queued at once")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--attention", default="auto")
    options.add_argument("--compiled", action="store_true")
    chosen = options.parse_args()
    profile = complete_profile(find_profile(chosen.profile, weights=chosen.folder))
    config = EngineConfig(profile, chosen.device, attention=chosen.attention, compiled=chosen.compiled)
    sides = chosen.side or [profile.base_side]
    asyncio.run(measure(config, sides, chosen.count, chosen.rounds, Console(width=160)))


if __name__ == "__main__":
    main()
