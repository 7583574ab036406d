"""What the engine tells of itself: its condition at one moment, and a record of each unit of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from zimage_engine.types import Unit

EngineState = Literal["loading", "ready", "recovering", "failed", "closed"]
"""Of the best device: ``recovering`` if no device is ready, and another worker is being loaded after a loss."""

WorkerState = Literal["loading", "ready", "recovering", "draining", "failed"]
"""Of one device. ``draining``: it finishes what it has begun. ``failed``: it is not used any more."""


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """One device at one moment.

    ``name`` is unique, such as ``cuda:0``; ``title`` is for people. ``models`` are the names of the models that it
    holds. ``running`` counts the requests that have begun on it, ``busy_seconds`` is how long it has worked.
    ``restarts`` is how often its worker was replaced. ``stage`` is as in :class:`EngineStats`, and ``failure`` says
    why a device has failed.
    """

    name: str
    title: str
    state: WorkerState
    models: tuple[str, ...]
    stage: str
    running: int
    busy_seconds: float
    restarts: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine at one moment. ``device`` and ``model`` are names for people.

    ``waiting`` counts the requests that have not started, ``running`` those that have; ``finished`` and ``failed``
    those that ended that way. ``busy_seconds`` is how long the devices have worked. ``stage`` says in a few words what
    loading is doing, such as "downloading: 3.1 of 32.9 GB"; it is empty once a device is ready. ``restarts`` is how
    often a worker was replaced. ``devices`` has each device; those that have failed stay in it, those that were removed
    do not.
    """

    state: EngineState
    device: str
    model: str
    waiting: int
    running: int
    finished: int
    failed: int
    busy_seconds: float
    stage: str = ""
    restarts: int = 0
    devices: tuple[DeviceStats, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One unit that a device has done, by the names of the device and the model.

    ``seconds`` is how long the device was busy with it, ``predicted`` what had been expected. ``requests`` shared it.
    ``fill`` is the part of the token budget that the batch took, from 0 to 1; of denoising steps alone, else None.
    ``out_of_memory`` is True if it was too large and is done again in smaller parts.
    """

    unit: Unit
    seconds: float
    predicted: float
    requests: int
    fill: float | None = None
    out_of_memory: bool = False
    device: str = ""
    model: str = ""


Observer = Callable[[UnitRecord], None]
"""Called by the thread of a device after each unit: it must be quick. What it raises is logged."""
