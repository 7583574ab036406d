"""Plans where the parts of a model go, from their sizes and the free memory. Free of torch."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from zimage_engine.catalog import CPU_PROFILE
from zimage_engine.types import ModelNotFound, OutOfMemory

GB = 10**9
FULL_WIDTH = 4
WIDTHS: dict[str, int | None] = {"auto": None, "bfloat16": 2, "float32": FULL_WIDTH}
"""The bytes of a converted value by the name of the data type; None leaves it to the plan."""

DeviceKind = Literal["cuda", "mps", "cpu"]
PARTS = ("text_encoder", "transformer", "vae")
SIGLIP = "siglip"
"""The folder of the image encoder, which only models for editing by instruction have."""

ACTIVATIONS = 1.5 * GB
"""Memory for activations while the whole transformer is on the device."""

_OFFLOAD_ACTIVATIONS = 3 * GB
"""The same while the transformer is moved block by block, with the blocks that are in flight."""

USABLE_SHARE = 0.95

_CONVERTED = {"BF16", "F16", "F32", "F64"}
"""safetensors' names of the types that loading converts to the model's type."""

_FLOAT8 = {"F8_E4M3", "F8_E5M2"}


class Placement(Enum):
    """How the parts share a device, from the fastest to the slowest."""

    RESIDENT = "everything on the device"
    ENCODER_MOVES = "text encoder on the device only while it encodes"
    ENCODER_ON_CPU = "text encoder on the CPU"
    GROUP_OFFLOAD = "text encoder on the CPU, transformer moved to the device block by block"


@dataclass(frozen=True, slots=True)
class PartSize:
    """The weights of a part: ``converted`` values take the model's type, ``kept`` bytes stay as they are stored.

    ``from_pretrained(dtype=…)`` converts floating-point tensors and keeps the others: the integers of weights that were
    saved quantised. float8 is kept if the part's config names a quantisation, else it is converted.
    """

    converted: int
    kept: int = 0

    def bytes(self, width: int) -> int:
        """Return the bytes of the loaded part if a converted value takes ``width`` bytes."""
        return self.converted * width + self.kept

    def __add__(self, other: PartSize) -> PartSize:
        return PartSize(self.converted + other.converted, self.kept + other.kept)


@dataclass(frozen=True, slots=True)
class PartSizes:
    """The sizes of the parts. ``vae`` includes SigLIP, if there is one: both are always on the device."""

    text_encoder: PartSize
    transformer: PartSize
    vae: PartSize

    def bytes(self, width: int) -> tuple[int, int, int]:
        """Return the bytes of each loaded part if a converted value takes ``width`` bytes."""
        return self.text_encoder.bytes(width), self.transformer.bytes(width), self.vae.bytes(width)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """A placement and the bytes that a converted value takes (4: float32, 2: bfloat16)."""

    placement: Placement
    width: int

    def __str__(self) -> str:
        return f"{self.placement.value}, {'float32' if self.width == FULL_WIDTH else 'bfloat16'}"


@dataclass(frozen=True, slots=True)
class _Demand:
    """A plan and the bytes that it takes on the device and, while loading or after it, on the host."""

    plan: MemoryPlan
    device: float
    host: float = 0.0


def plan_memory(
    sizes: PartSizes, kind: DeviceKind, device_free: float, host_free: float, width: int | None = None
) -> MemoryPlan:
    """Return the first of :func:`fitting_plans`."""
    return fitting_plans(sizes, kind, device_free, host_free, width)[0]


def fitting_plans(
    sizes: PartSizes, kind: DeviceKind, device_free: float, host_free: float, width: int | None = None
) -> list[MemoryPlan]:
    """Return the plans that fit into these bytes of free memory, the fastest first.

    ``width`` is the bytes of a converted value; None means 4, then 2 on a CPU, and 2 on a GPU. The CPU and Apple's GPU
    share the host's memory, so there everything is resident. Raises :class:`OutOfMemory` with the GB that are missing.
    """
    demands = _demands(sizes, kind, width)
    device, host = USABLE_SHARE * device_free, USABLE_SHARE * host_free
    fitting = [demand.plan for demand in demands if demand.device <= device and demand.host <= host]
    if fitting:
        return fitting
    slowest = demands[-1]
    if kind != "cuda":
        raise _missing(slowest.device - device, "memory")
    if slowest.device > device:
        raise _missing(slowest.device - device, "GPU memory")
    raise _missing(min(demand.host for demand in demands if demand.device <= device) - host, "host memory")


def _demands(sizes: PartSizes, kind: DeviceKind, width: int | None) -> list[_Demand]:
    """Return what each plan for this kind of device takes, the fastest plan first."""
    if kind == "cuda":
        return _gpu_demands(sizes, width or 2)
    choices = (width,) if width else (4, 2) if kind == "cpu" else (2,)
    return [
        _Demand(MemoryPlan(Placement.RESIDENT, choice), sum(sizes.bytes(choice)) + ACTIVATIONS) for choice in choices
    ]


def _gpu_demands(sizes: PartSizes, width: int) -> list[_Demand]:
    encoder, transformer, vae = sizes.bytes(width)
    # Parts are mapped from their files and loaded one by one; the host holds those that stay on it.
    return [
        _Demand(MemoryPlan(placement, width), device, host)
        for placement, device, host in (
            (Placement.RESIDENT, encoder + transformer + vae + ACTIVATIONS, 0.0),
            (Placement.ENCODER_MOVES, transformer + vae + max(encoder, ACTIVATIONS), max(encoder, transformer)),
            (Placement.ENCODER_ON_CPU, transformer + vae + ACTIVATIONS, max(encoder, transformer)),
            (Placement.GROUP_OFFLOAD, vae + _OFFLOAD_ACTIVATIONS, encoder + transformer),
        )
    ]


def _missing(lacking: float, what: str) -> OutOfMemory:
    return OutOfMemory(
        f"The model needs {math.ceil(lacking / GB * 10) / 10:.1f} GB more {what} than is free: "
        f"close other programs, use a machine with more, or set PROFILE={CPU_PROFILE}."
    )


def part_sizes(folder: Path) -> PartSizes:
    """Count the weights of a model folder. Reads only the headers of the safetensors files.

    Raises :class:`ModelNotFound` if one is damaged or ends too early.
    """
    encoder, transformer, vae, siglip = (weights_of(folder / part) for part in (*PARTS, SIGLIP))
    return PartSizes(encoder, transformer, vae + siglip)


def check_parts(folder: Path) -> None:
    """Raise :class:`ModelNotFound` if a part of the model in the folder has no weights."""
    for part in PARTS:
        if not weight_files(folder / part):
            raise ModelNotFound(f"{folder / part} has no weights in safetensors: download the model again.")


def weights_of(part: Path) -> PartSize:
    """Count the weights of one part. Raises :class:`ModelNotFound` if a file is damaged or ends too early."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - imports NumPy

    converted_types = _CONVERTED if _is_quantised(part) else _CONVERTED | _FLOAT8
    converted = kept = 0
    for path in weight_files(part):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    tensor = file.get_slice(name)
                    dtype, values = tensor.get_dtype(), math.prod(tensor.get_shape())
                    if dtype in converted_types:
                        converted += values
                    else:
                        kept += math.ceil(values * _bits(dtype) / 8)
        except (OSError, SafetensorError) as error:
            raise ModelNotFound(f"{path} is damaged ({type(error).__name__}): download the weights again.") from error
    return PartSize(converted, kept)


def weight_files(part: Path) -> list[Path]:
    """Return the files that ``from_pretrained`` reads: those of the index or, without one, all."""
    for index in part.glob("*.safetensors.index.json"):
        named = set(_read_json(index).get("weight_map", {}).values())
        return [part / name for name in sorted(named)]
    return sorted(part.glob("*.safetensors"))


def _is_quantised(part: Path) -> bool:
    config = part / "config.json"
    return config.is_file() and bool(_read_json(config).get("quantization_config"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelNotFound(f"{path} is damaged ({type(error).__name__}): download the weights again.") from error


def _bits(dtype: str) -> int:
    """Return the bits of a safetensors type such as ``I8``, ``F8_E4M3`` or ``BOOL``."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8
