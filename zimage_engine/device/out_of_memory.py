"""Recognises that a device or the host ran out of memory, and returns unused memory to the device."""

from __future__ import annotations

import errno
import gc

import torch

_MESSAGES = (
    "out of memory",  # CUDA, HIP, MPS and XPU, whatever the type of the exception
    "out_of_device_memory",  # XPU's UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY
    "can't allocate memory",  # the CPU allocator on Linux and macOS
    "not enough memory",  # the CPU allocator on Windows
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",  # from cublasCreate, which allocates a workspace
    "cudnn_status_alloc_failed",
    "_allocation_failed",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED and _HOST_
    "cusolver_status_alloc_failed",
    "cufft_alloc_failed",
)
"""Parts of the messages of plain RuntimeErrors, in lower case."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if the device or the host had too little memory.

    Only CUDA's caching allocator raises :class:`torch.OutOfMemoryError`. Apple's GPU, the CPU allocator and the
    libraries that allocate for themselves (cuBLAS, cuDNN) raise RuntimeErrors, which are known by their messages.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM  # a file cannot be mapped
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(message in text for message in _MESSAGES)


def free_memory() -> None:
    """Return unused cached memory to the device.

    Clear the traceback of an error before: its frames hold the tensors that have to be freed.
    """
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        gc.collect()
        torch.mps.empty_cache()
    else:
        gc.collect(1)  # the host's allocator keeps no cache, and a full collection holds up every thread
