"""The devices that torch can use here. Imports torch, but neither diffusers nor transformers."""

from __future__ import annotations

import psutil
import torch

from zimage_engine.device.memory import DeviceKind
from zimage_engine.device.out_of_memory import is_out_of_memory
from zimage_engine.places import first_device
from zimage_engine.types import DeviceNotFound, OutOfMemory


def pick_device(name: str = "auto") -> torch.device:
    """Return the first device that a text in the syntax of DEVICE names.

    ``auto`` is the first CUDA device, else Apple's GPU, else the CPU. Raises :class:`DeviceNotFound` if there is
    no such device, :class:`OutOfMemory` if it has no memory left.
    """
    first = first_device(name)
    return all_devices()[0] if first == "auto" else _named_device(first)


def all_devices() -> list[torch.device]:
    """Return the CUDA devices (NVIDIA's and AMD's), Apple's GPU and the CPU, as far as there are any."""
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append(torch.device("mps"))
    return [*devices, torch.device("cpu")]


def _named_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"The device “{name}” has no memory left: close other programs that use it.") from error
        raise DeviceNotFound(f"There is no device “{name}” here: set DEVICE to auto, cpu, cuda or mps.") from error
    return device


def kind_of(device: torch.device) -> DeviceKind:
    """Return the kind by which memory is planned."""
    return "cuda" if device.type == "cuda" else "mps" if device.type == "mps" else "cpu"


def title_of(device: torch.device) -> str:
    """Return the device's name for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, device.type)


def host_memory_free() -> float:
    """Return the bytes that programs can still allocate, caches of files included: the system gives those up."""
    return float(psutil.virtual_memory().available)


def device_memory_free(device: torch.device) -> float | None:
    """Return the bytes that can still be allocated on a CUDA device; None for devices that use the host's memory."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(free + cached)
