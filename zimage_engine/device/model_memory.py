"""Plans which of several models a device holds at a time, from the sizes of their parts. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from zimage_engine.device.memory import (
    ACTIVATIONS,
    USABLE_SHARE,
    DeviceKind,
    MemoryPlan,
    PartSize,
    PartSizes,
    Placement,
    fitting_plans,
)
from zimage_engine.places import DevicePlace
from zimage_engine.types import OutOfMemory

Parts = Mapping[Hashable, PartSize]
"""The sizes of a model's parts by what they are: parts of two models with equal keys are loaded once."""


@dataclass(frozen=True, slots=True)
class ModelsPlan:
    """Where the parts of each model go, and the bytes that those of all models may take together on the device.

    With a ``room`` of 0 the device holds one model at a time, and others only if they have no parts of their own.
    """

    memory: MemoryPlan
    room: float = 0.0

    def __str__(self) -> str:
        return str(self.memory)


def fitting_model_plans(
    models: Sequence[tuple[PartSizes, Parts]],
    kind: DeviceKind,
    device_free: float,
    host_free: float,
    width: int | None = None,
) -> list[ModelsPlan]:
    """Return the plans with which each of the models fits into these bytes of free memory, the fastest first.

    Models are held together only if everything is on the device. The parameters are those of :func:`fitting_plans`.
    Raises :class:`OutOfMemory` if one of the models does not fit.
    """
    fitting = [fitting_plans(sizes, kind, device_free, host_free, width) for sizes, _ in models]
    common = [plan for plan in fitting[0] if all(plan in others for others in fitting)]
    if not common:
        raise OutOfMemory("No way to hold one of the models at a time suits them all: give this device fewer models.")
    plans: list[ModelsPlan] = []
    for memory in common:
        room = USABLE_SHARE * device_free - ACTIVATIONS
        if memory.placement is Placement.RESIDENT and _two_fit([parts for _, parts in models], memory.width, room):
            plans.append(ModelsPlan(memory, room))
        plans.append(ModelsPlan(memory))
    return plans


def model_plans_at(
    place: DevicePlace,
    models: Sequence[tuple[PartSizes, Parts]],
    kind: DeviceKind,
    device_free: float | None,
    host_free: float,
    width: int | None = None,
) -> list[ModelsPlan]:
    """Return the plans of :func:`fitting_model_plans` that fit into a place's part of the free memory.

    ``device_free`` is None for a device that uses the host's memory. What two places have alike counts twice: each is
    a process of its own. They share the pages of a file only while a part has the file's type and stays on the host.
    """
    try:
        return fitting_model_plans(models, kind, *place.part_of(device_free, host_free), width)
    except OutOfMemory as error:
        if place.has_part:
            fewer = "Each worker has its part of the memory: set fewer, in DEVICE or, on a cluster, in WORKERS."
            raise OutOfMemory(f"{error} {fewer}") from error
        raise


def kept_models(plan: ModelsPlan, wanted: str, held: Iterable[str], parts: Mapping[str, Parts]) -> list[str]:
    """Return the models that stay on the device when ``wanted`` is loaded: it, and of ``held`` those that fit.

    ``held`` are the names of the models on the device, the most recently used first; ``parts`` has all of them.
    """
    kept, taken = [wanted], dict(parts[wanted])
    for name in held:
        together = taken | dict(parts[name])
        if name != wanted and (len(together) == len(taken) or _bytes(together, plan.memory.width) <= plan.room):
            kept.append(name)
            taken = together
    return kept


def _two_fit(models: Sequence[Parts], width: int, room: float) -> bool:
    return any(_bytes({**one, **other}, width) <= room for index, one in enumerate(models) for other in models[:index])


def _bytes(parts: Parts, width: int) -> int:
    return sum(size.bytes(width) for size in parts.values())
