"""Plans where the parts of a model go, from their sizes and the device's memory. Pure functions, free of torch."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from zimage_engine.catalog import CPU_PROFILE
from zimage_engine.types import ModelNotFound, OutOfMemory

GB = 10**9
FULL_WIDTH = 4

DeviceKind = Literal["cuda", "mps", "cpu"]
PARTS = ("text_encoder", "transformer", "vae")
SIGLIP = "siglip"
"""The folder of the image encoder, which only models for editing by instruction have."""

_ACTIVATIONS = 1.5 * GB
"""Memory for activations while the whole transformer is on the device."""

_OFFLOAD_ACTIVATIONS = 3 * GB
"""The same while the transformer is moved block by block, with the blocks that are in flight."""

_USABLE_SHARE = 0.95
_HEADER_MAX = 100_000_000


class Placement(Enum):
    """How the parts share a device, from the fastest to the slowest."""

    RESIDENT = "everything on the device"
    ENCODER_MOVES = "text encoder on the device only while it encodes"
    ENCODER_ON_CPU = "text encoder on the CPU"
    GROUP_OFFLOAD = "text encoder on the CPU, transformer moved to the device block by block"


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Numbers of parameters of the parts. ``vae`` includes SigLIP, if there is one: both are always on the device."""

    text_encoder: int
    transformer: int
    vae: int

    def bytes(self, width: int) -> tuple[float, float, float]:
        """Return the bytes of each part if a parameter takes ``width`` bytes."""
        return self.text_encoder * width, self.transformer * width, self.vae * width


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A placement and the bytes that a parameter takes (4: float32, 2: bfloat16)."""

    placement: Placement
    width: int

    def __str__(self) -> str:
        return f"{self.placement.value}, {'float32' if self.width == FULL_WIDTH else 'bfloat16'}"


def plan_memory(
    sizes: PartSizes, kind: DeviceKind, device_memory: float, host_memory: float, width: int | None = None
) -> MemoryPlan:
    """Return the fastest placement that fits into these bytes of memory.

    ``width`` is the bytes of a parameter; None chooses 4 on a CPU if that fits, else 2. The CPU and Apple's GPU share
    the host's memory, so there everything is resident. Raises :class:`OutOfMemory` with the GB that are missing.
    """
    usable = _USABLE_SHARE * device_memory
    if kind == "cpu":
        for choice in (width,) if width else (4, 2):
            if sum(sizes.bytes(choice)) + _ACTIVATIONS <= usable:
                return MemoryPlan(Placement.RESIDENT, choice)
        raise _missing(sum(sizes.bytes(width or 2)) + _ACTIVATIONS - usable, "memory")
    width = width or 2
    encoder, transformer, vae = sizes.bytes(width)
    if encoder + transformer + vae + _ACTIVATIONS <= usable:
        return MemoryPlan(Placement.RESIDENT, width)
    if kind == "mps":
        raise _missing(encoder + transformer + vae + _ACTIVATIONS - usable, "memory")
    host = _USABLE_SHARE * host_memory
    if max(encoder, transformer) > host:
        raise _missing(max(encoder, transformer) - host, "host memory")
    if transformer + vae + max(encoder, _ACTIVATIONS) <= usable:
        return MemoryPlan(Placement.ENCODER_MOVES, width)
    if transformer + vae + _ACTIVATIONS <= usable:
        return MemoryPlan(Placement.ENCODER_ON_CPU, width)
    if vae + _OFFLOAD_ACTIVATIONS > usable:
        raise _missing(vae + _OFFLOAD_ACTIVATIONS - usable, "GPU memory")
    if encoder + transformer > host:
        raise _missing(encoder + transformer - host, "host memory")
    return MemoryPlan(Placement.GROUP_OFFLOAD, width)


def _missing(lacking: float, what: str) -> OutOfMemory:
    return OutOfMemory(
        f"The model needs {math.ceil(lacking / GB * 10) / 10:.1f} GB more {what} than there is: "
        f"use a machine with more, or PROFILE={CPU_PROFILE}."
    )


def part_sizes(folder: Path) -> PartSizes:
    """Count the parameters of a model folder. Reads only the headers of the safetensors files.

    Raises :class:`ModelNotFound` if one is damaged.
    """
    encoder, transformer, vae, siglip = (
        sum(map(_parameters, sorted((folder / part).glob("*.safetensors")))) for part in (*PARTS, SIGLIP)
    )
    return PartSizes(encoder, transformer, vae + siglip)


def _parameters(path: Path) -> int:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _HEADER_MAX)))
    except (OSError, ValueError, struct.error) as error:
        raise ModelNotFound(f"{path} is damaged ({type(error).__name__}): download the weights again.") from error
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
