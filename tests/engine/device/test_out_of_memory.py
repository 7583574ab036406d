"""Running out of memory is recognised by type or, since most allocators raise plain RuntimeErrors, by message."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.helpers.four_requests import make_request, outcomes, same_picture
from zimage_engine.catalog import find_profile
from zimage_engine.device.calibration import _time_if_it_fits
from zimage_engine.device.out_of_memory import is_out_of_memory
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import UnitWorker
from zimage_engine.model.previews import LinearMap, Previewer

CPU = torch.device("cpu")
MESSAGES = {
    "cuda": "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
    "hip": "HIP out of memory. Tried to allocate 256.00 MiB.",
    "mps": "MPS backend out of memory (MPS allocated: 8.71 GB, other allocations: 320 KB, max allowed: 9.07 GB).",
    "xpu": "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
    "linux": "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ...",
    "windows": "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried ...",
    "cublas": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cublas handle": "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cudnn": "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cudnn 9": "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_it_is_known_by_its_message(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))


def test_it_is_known_by_its_type() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("too large"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))


def test_the_message_of_this_cpu_is_known() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("the caption says: CUDA out of memory"),
    ],
    ids=str,
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


async def test_a_large_batch_is_halved_whatever_the_allocator_raises(
    start_demo: Callable[..., Engine], undisturbed: dict[str, bytes]
) -> None:
    sizes: list[int] = []

    def wrap(worker: Worker) -> UnitWorker:
        forward: Any = worker.model.transformer

        def small(latents: Any, *rest: Any) -> Any:
            sizes.append(len(latents))
            if len(latents) > 1:
                raise RuntimeError(MESSAGES["mps"])
            return forward(latents, *rest)

        worker.model.transformer = small  # type: ignore[assignment]
        return worker

    ended = await outcomes(start_demo(wrap))
    assert all(same_picture(data, undisturbed[name]) for name, data in ended.items())
    assert max(sizes) > 1
    assert sizes[-4:] == [1, 1, 1, 1]


async def test_a_picture_is_decoded_in_tiles_whatever_the_allocator_raises(start_demo: Callable[..., Engine]) -> None:
    seen: list[bool] = []

    def wrap(worker: Worker) -> UnitWorker:
        vae: Any = worker.model.parts.vae
        decode = vae.decode

        def small(latents: Any, **options: Any) -> Any:
            seen.append(vae.use_tiling)
            if not vae.use_tiling:
                raise RuntimeError(MESSAGES["cudnn"])
            return decode(latents, **options)

        vae.decode = small
        return worker

    engine = start_demo(wrap, Worker.load)  # with an autoencoder of its own, because it is changed
    await engine.submit(make_request("a"), owner=1).result()
    assert seen == [False, True]


def test_a_size_that_does_not_fit_is_not_measured() -> None:
    class Small:
        def start(self, _: object) -> Any:
            raise RuntimeError(MESSAGES["linux"])

    assert _time_if_it_fits(Small(), find_profile("demo").base_size, 1) is None  # type: ignore[arg-type]


def test_a_preview_that_does_not_fit_is_left_out() -> None:
    class Full(LinearMap):
        def __init__(self) -> None:
            super().__init__([[0.0, 0.0, 0.0]] * 16, [0.0, 0.0, 0.0])

        def __call__(self, latents: torch.Tensor) -> torch.Tensor:
            raise RuntimeError(MESSAGES["cublas"])

    assert Previewer(Full(), 16, CPU).preview(torch.zeros(16, 8, 8), 60.0)[0] is None
