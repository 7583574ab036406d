"""A unit that raises or runs out of memory: only the request that caused it fails, the others get their pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.four_requests import PROMPTS, break_for, make_edit, make_request, outcomes, same_picture
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker
from zimage_engine.types import NumericalError, OutOfMemory, Unit, UnitFailed


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize(
    ("raised", "ends_with"),
    [
        (lambda: RuntimeError("the kernel is on fire"), UnitFailed),
        (lambda: torch.OutOfMemoryError("too large"), OutOfMemory),
        (lambda: NumericalError("not finite"), NumericalError),
    ],
    ids=["exception", "memory", "numbers"],
)
async def test_the_request_that_causes_a_failure_fails_alone(
    start_demo: Callable[..., Engine],
    undisturbed_edits: dict[str, bytes],
    unit: Unit,
    raised: Callable[[], BaseException],
    ends_with: type[Exception],
) -> None:
    ended = await outcomes(start_demo(break_for(PROMPTS["b"], unit, raised)), make_edit)
    assert isinstance(ended.pop("b"), ends_with)
    assert all(same_picture(data, undisturbed_edits[name]) for name, data in ended.items())


async def test_a_batch_that_does_not_fit_is_drawn_in_smaller_ones(
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    sizes: list[int] = []

    def wrap(worker: Worker) -> UnitWorker:
        step = worker.model.step

        def small(generations: Any) -> Any:
            sizes.append(len(generations))
            if len(generations) > 1:
                raise torch.OutOfMemoryError("too large")
            return step(generations)

        worker.model.step = small  # type: ignore[method-assign]
        return worker

    ended = await outcomes(start_demo(wrap))
    assert all(same_picture(data, undisturbed[name]) for name, data in ended.items())
    assert max(sizes) > 1
    assert sizes[-4:] == [1, 1, 1, 1]


async def test_pixels_that_are_not_finite_are_decoded_once_more_in_full_precision(
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    seen: list[torch.dtype] = []

    def wrap(worker: Worker) -> UnitWorker:
        vae: Any = worker.model.parts.vae.to(torch.bfloat16)
        decode = vae.decode

        def overflows(latents: torch.Tensor, **options: Any) -> Any:
            seen.append(latents.dtype)
            out = decode(latents, **options)
            return out if latents.dtype is torch.float32 else (out[0] * float("inf"),)

        vae.decode = overflows
        return worker

    engine = start_demo(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
    data = (await engine.submit(make_request("a"), owner=1).result()).image.data
    assert seen == [torch.bfloat16, torch.float32]
    assert len(data) == len(undisturbed["a"])


async def test_a_large_picture_that_cannot_be_decoded_at_once_is_decoded_in_tiles(
    start_demo: Callable[..., Engine],
) -> None:
    large = replace(make_request("a"), width=512, height=512)
    drawn: list[np.ndarray] = []

    def little_memory(worker: Worker) -> UnitWorker:
        decoder: Any = worker.model.parts.vae.decoder  # type: ignore[union-attr]
        forward = decoder.forward

        def small(latents: torch.Tensor, *rest: Any) -> Any:
            if latents.shape[-1] > 16:
                raise torch.OutOfMemoryError("too large")
            return forward(latents, *rest)

        decoder.forward = small
        return worker

    for wrap in (lambda worker: worker, little_memory):
        engine = start_demo(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
        image = (await engine.submit(large, owner=1).result()).image
        drawn.append(np.frombuffer(image.data, np.uint8).astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() < 40, "tiles know less of the whole, yet it is the same picture"


async def test_running_out_of_memory_while_requests_run_apart_fails_that_request(
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    """After an exception in a batch one of its requests runs out of memory: the others step once, not twice."""

    def wrap(worker: Worker) -> UnitWorker:
        step = worker.model.step

        def broken(generations: Any) -> Any:
            if len(generations) > 1:
                raise RuntimeError("the kernel is on fire")
            if generations[0].request.id == "b":
                raise torch.OutOfMemoryError("too large")
            return step(generations)

        worker.model.step = broken  # type: ignore[method-assign]
        return worker

    ended = await outcomes(start_demo(wrap))
    assert isinstance(ended.pop("b"), OutOfMemory)
    assert all(same_picture(data, undisturbed[name]) for name, data in ended.items())


async def test_a_finished_or_failed_request_leaves_nothing_on_the_worker(start_demo: Callable[..., Engine]) -> None:
    workers: list[Worker] = []
    broken = break_for(PROMPTS["b"], Unit.DECODE, lambda: RuntimeError("the kernel is on fire"))

    def wrap(worker: Worker) -> UnitWorker:
        workers.append(worker)
        return broken(worker)

    ended = await outcomes(start_demo(wrap), make_edit)
    assert isinstance(ended["b"], UnitFailed)
    assert workers[0]._held == {}
