"""What the engine tells of itself: its condition at one moment, and a record of each unit of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from zimage_engine.types import Unit

EngineState = Literal["loading", "ready", "recovering", "failed", "closed"]
"""``recovering``: the worker was lost, and another one is being loaded."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine at one moment. ``device`` and ``model`` are names for people.

    ``waiting`` counts the requests that have not started, ``running`` those that have; ``finished`` and ``failed``
    those that ended that way. ``busy_seconds`` is how long the device has worked. ``stage`` says in a few words what
    loading is doing, such as "downloading: 3.1 of 32.9 GB"; it is empty while nothing is being loaded. ``restarts`` is
    how often the worker was replaced.
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


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One unit that the device has done.

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


Observer = Callable[[UnitRecord], None]
"""Called by the engine's own thread after each unit: it must be quick. What it raises is logged."""
