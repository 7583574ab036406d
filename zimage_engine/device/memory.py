"""Where the parts of a model go, from their sizes and the device's memory: a pure function, free of torch."""

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
"""The folder of the image encoder that a model for editing by instruction has besides."""

_WORK = 1.5 * GB
_USABLE = 0.95
_LONGEST_HEADER = 100_000_000
_BLOCKS_WORK = 3 * GB


class Placement(Enum):
    """How the parts share a device, from the fastest to the most patient."""

    RESIDENT = "everything on the device"
    ENCODER_MOVES = "text encoder on the device only while it encodes"
    ENCODER_ON_CPU = "text encoder on the CPU"
    GROUP_OFFLOAD = "text encoder on the CPU, transformer moved to the device block by block"


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Parameters of the parts, in numbers, not bytes. SigLIP's, where there is one, count with ``vae``'s.

    Both lie on the device in every placement.
    """

    text_encoder: int
    transformer: int
    vae: int

    def bytes(self, width: int) -> tuple[float, float, float]:
        """Bytes of each part where a parameter takes ``width`` bytes."""
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
    """The fastest placement that fits. ``width`` is the asked bytes of a parameter, None chooses.

    On the CPU and on Apple's shared memory there is only one memory, and nothing to move: float32 where it fits on the
    CPU, else bfloat16. Raises :class:`OutOfMemory` with the GB that are missing.
    """
    usable = _USABLE * device_memory
    if kind == "cpu":
        for choice in (width,) if width else (4, 2):
            if sum(sizes.bytes(choice)) + _WORK <= usable:
                return MemoryPlan(Placement.RESIDENT, choice)
        raise _missing(sum(sizes.bytes(width or 2)) + _WORK - usable, "memory")
    width = width or 2
    encoder, transformer, vae = sizes.bytes(width)
    if encoder + transformer + vae + _WORK <= usable:
        return MemoryPlan(Placement.RESIDENT, width)
    if kind == "mps":
        raise _missing(encoder + transformer + vae + _WORK - usable, "memory")
    host = _USABLE * host_memory
    if max(encoder, transformer) > host:
        raise _missing(max(encoder, transformer) - host, "host memory")
    if transformer + vae + max(encoder, _WORK) <= usable:
        return MemoryPlan(Placement.ENCODER_MOVES, width)
    if transformer + vae + _WORK <= usable:
        return MemoryPlan(Placement.ENCODER_ON_CPU, width)
    if vae + _BLOCKS_WORK > usable:
        raise _missing(vae + _BLOCKS_WORK - usable, "GPU memory")
    if encoder + transformer > host:
        raise _missing(encoder + transformer - host, "host memory")
    return MemoryPlan(Placement.GROUP_OFFLOAD, width)


def _missing(lacking: float, what: str) -> OutOfMemory:
    return OutOfMemory(
        f"The model needs {math.ceil(lacking / GB * 10) / 10:.1f} GB more {what} than there is: "
        f"use a machine with more, or PROFILE={CPU_PROFILE}."
    )


def part_sizes(folder: Path) -> PartSizes:
    """Count the parameters in a model folder from the safetensors' headers alone: no weights are read."""
    encoder, transformer, vae, siglip = (
        sum(map(_parameters, sorted((folder / part).glob("*.safetensors")))) for part in (*PARTS, SIGLIP)
    )
    return PartSizes(encoder, transformer, vae + siglip)


def _parameters(path: Path) -> int:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
    except (OSError, ValueError, struct.error) as error:
        raise ModelNotFound(f"{path} is damaged ({type(error).__name__}): download the weights again.") from error
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
