"""The engine and plain diffusers' pipeline in one process, to be compared."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ZImagePipeline

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import ThreadExecutor
from zimage_engine.model.model import ZImageModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import ImageRequest
from zimage_engine.weights import Report, complete_profile

_NUMBERS = itertools.count()
SHAPES = ("circle", "square", "star", "heart", "triangle")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")


def ask(*, new_prompt: bool = True, size: tuple[int, int] = (256, 256), steps: int = 8) -> ImageRequest:
    """Return a request for a picture; ``new_prompt`` gives it a prompt that is not cached."""
    number = next(_NUMBERS)
    prompt = "a red circle on a blue background"
    if new_prompt:
        prompt = f"a {COLOURS[number % 8]} {SHAPES[number % 5]} number {number}"
    return ImageRequest(f"bench-{number}", prompt, *size, steps, number)


@dataclass
class Workbench:
    """``engine`` and ``pipeline`` hold equal weights of their own, in float32 on the CPU."""

    engine: Engine
    worker: Worker
    pipeline: ZImagePipeline

    @property
    def device(self) -> str:
        return self.worker.device

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    @property
    def model(self) -> ZImageModel:
        return self.worker.model

    @property
    def batch(self) -> int:
        """The number of pictures of the base size in the engine's largest batch."""
        return max(
            1, self.worker.costs[self.engine.profile.name].budget // self.model.tokens(self.engine.profile.base_size)
        )

    def by_pipeline(self, requests: Iterable[ImageRequest]) -> float:
        """Return the seconds for the requests one after another, as in a script with diffusers."""
        began = time.perf_counter()
        for request in requests:
            self.pipeline(
                prompt=request.prompt,
                height=request.height,
                width=request.width,
                num_inference_steps=request.steps,
                guidance_scale=0.0,
                generator=torch.Generator().manual_seed(request.seed),
            )
        return time.perf_counter() - began

    async def by_engine(self, requests: Iterable[ImageRequest], owner: str = "bench") -> float:
        """Return the seconds until the last of the requests, which are queued at once, is finished."""
        began = time.perf_counter()
        handles = [self.engine.submit(request, owner=owner) for request in requests]
        for handle in handles:
            await handle.result()
        return time.perf_counter() - began

    def bare(self, requests: list[ImageRequest], batch: int) -> float:
        """Return the seconds for the bare calls of text encoder, transformer and decoder, in batches."""
        began = time.perf_counter()
        for start in range(0, len(requests), batch):
            generations = [self.model.start(request) for request in requests[start : start + batch]]
            for _ in range(requests[start].steps):
                self._forward(generations)
            for generation in generations:
                self._decode(generation.latents)
        return time.perf_counter() - began

    @torch.inference_mode()
    def _forward(self, generations: list[Any]) -> None:
        """Run the transformer; the caption branch runs once a prompt, as in the engine."""
        latents = [generation.latents.unsqueeze(1) for generation in generations]
        self.model.transformer(
            latents, torch.full((len(generations),), 0.5), [generation.positive for generation in generations]
        )

    @torch.inference_mode()
    def _decode(self, latents: torch.Tensor) -> None:
        vae: Any = self.model.parts.vae
        vae.decode(latents[None], return_dict=False)


def demo_config() -> EngineConfig:
    return EngineConfig(complete_profile(find_profile("demo")), "cpu")


@asynccontextmanager
async def open_workbench(make_scheduler: Callable[[], Scheduler] | None = None) -> AsyncIterator[Workbench]:
    """Yield engine and pipeline with the demo model, loaded and warmed up."""
    workers: list[Worker] = []
    config = demo_config()

    def load(report: Report) -> Worker:
        workers.append(Worker.load(config, report=report))
        return workers[-1]

    engine = Engine.start(config, lambda _: ThreadExecutor(load), make_scheduler() if make_scheduler else None)
    await engine.ready()
    pipeline = await asyncio.to_thread(ZImagePipeline.from_pretrained, DEMO_WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    bench = Workbench(engine, workers[0], pipeline)
    bench.by_pipeline([ask(), ask()])
    await bench.by_engine([ask() for _ in range(bench.batch + 1)])
    try:
        yield bench
    finally:
        await engine.close()
