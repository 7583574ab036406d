"""A worker that runs out of memory, and what it leaves behind; the faults of each unit are in ``test_executors.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from tests.helpers.four_requests import PROMPTS, break_for, make_edit, make_request, outcomes, same_picture
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import Finish, UnitWorker
from zimage_engine.types import NewRequest, OutOfMemory, Plan, Unit, UnitFailed

Begin = Callable[[Plan], Finish]


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
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a copy of the decoder: another thread may be decoding the next picture with the decoder itself."""
    seen: list[tuple[torch.dtype, bool]] = []
    workers: list[Worker] = []
    decode: Any = AutoencoderKL.decode

    def overflows(vae: Any, latents: torch.Tensor, **options: Any) -> Any:
        seen.append((latents.dtype, vae is workers[0].model.parts.vae))
        assert vae.dtype is latents.dtype
        assert workers[0].model.parts.vae.dtype is torch.bfloat16
        out = decode(vae, latents, **options)
        return out if latents.dtype is torch.float32 else (out[0] * float("inf"),)

    def wrap(worker: Worker) -> UnitWorker:
        worker.model.parts.vae.to(torch.bfloat16)
        workers.append(worker)
        monkeypatch.setattr(AutoencoderKL, "decode", overflows)
        return worker

    engine = start_demo(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
    data = (await engine.submit(make_request("a"), owner=1).result()).image.data
    assert seen == [(torch.bfloat16, True), (torch.float32, False)]
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


async def test_a_picture_that_cannot_be_read_fails_alone_although_its_request_was_released_meanwhile(
    start_demo: Callable[..., Engine],
) -> None:
    """On a GPU the next plan, which may release a request, begins before the picture is read."""
    worker, begin = await loaded(start_demo)
    finish = decoding(begin, "a")
    begin(Plan(None, release=("a",)))()

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("too large")

    worker.model.to_image = full  # type: ignore[method-assign]
    assert {name: type(error) for name, error in finish().failures.items()} == {"a": OutOfMemory}


async def test_the_end_of_a_request_does_not_free_a_new_one_of_its_name(start_demo: Callable[..., Engine]) -> None:
    """A job that is paused while its picture is decoded, and goes on at once, submits the same id again."""
    _, begin = await loaded(start_demo)
    finish = decoding(begin, "a")
    new = begin(Plan(Unit.ENCODE_TEXT, ("a",), new=(NewRequest(make_request("a")),), release=("a",)))
    assert "a" in finish().images
    assert "a" in new().caption_tokens
    assert begin(Plan(Unit.DECODE, ("a",)))().images.keys() == {"a"}


async def loaded(start_demo: Callable[..., Engine]) -> tuple[Worker, Begin]:
    """Return the worker of an engine that has no requests, and its ``begin``, which does not wait for the end."""
    workers: list[Worker] = []

    def wrap(worker: Worker) -> UnitWorker:
        workers.append(worker)
        return worker

    await start_demo(wrap).ready()
    return workers[0], partial(Worker.begin, workers[0])


def decoding(begin: Begin, name: str) -> Finish:
    """Begin to decode a picture. Returns what finishes it."""
    begin(Plan(Unit.ENCODE_TEXT, (name,), new=(NewRequest(make_request(name)),)))()
    begin(Plan(Unit.DENOISE, (name,)))()
    return begin(Plan(Unit.DECODE, (name,)))


async def test_a_finished_or_failed_request_leaves_nothing_on_the_worker(start_demo: Callable[..., Engine]) -> None:
    workers: list[Worker] = []
    broken = break_for(PROMPTS["b"], Unit.DECODE, lambda: RuntimeError("the kernel is on fire"))

    def wrap(worker: Worker) -> UnitWorker:
        workers.append(worker)
        return broken(worker)

    ended = await outcomes(start_demo(wrap), make_edit)
    assert isinstance(ended["b"], UnitFailed)
    assert workers[0]._held == {}
