"""What the scheduler orders: a request as a row of units with predicted seconds, and a batch of such requests."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from zimage_engine.types import Unit

if TYPE_CHECKING:
    from zimage_engine.scheduling.order import Entry, Pinned
    from zimage_engine.scheduling.shares import Share

BEFORE_STEPS = (Unit.ENCODE_TEXT, Unit.ENCODE_IMAGE)
"""Units that come before the steps; requests that will share a step are served them ahead."""

_GRAIN = 2.0**-30
"""Work is counted in multiples of this many seconds, so that floating-point sums of it are exact (up to 97 days)."""


@dataclass(slots=True, eq=False)
class Task:
    """One request as the scheduler sees it: the units that it needs, in order, and the seconds that each takes alone.

    ``owner`` asked for it in ``group``; each has a weight. Tasks share a step if their ``key`` is equal. It is known
    once the text is encoded; ``shape`` is the part of it that is known from the start. ``tokens`` and ``samples`` are
    the size of one step of its ``model``. Costs are those of the reference device. ``encode_ahead`` is how many seconds
    may still be spent on encoding other tasks' prompts before this task's own steps; ``encodes_ahead`` is False once
    there was too little memory for that. ``added_at`` is the scheduler's count of served seconds when the task was
    added. Tasks of equal ``texts`` need their texts encoded once; None if nothing is known of them.

    The last four fields are the scheduler's: the owner's share, the tasks of the device that has begun this one, its
    place among them, and the name of the set of tasks that can share a step with this one.
    """

    id: str
    owner: Hashable
    units: tuple[Unit, ...]
    costs: Mapping[Unit, float]
    shape: Hashable
    tokens: int
    samples: int = 1
    weight: float = 1.0
    group: Hashable = None
    group_weight: float = 1.0
    texts: Hashable | None = None
    model: str = ""
    key: Hashable | None = None
    done: int = 0
    remaining: float = 0.0
    encode_ahead: float = 0.0
    encodes_ahead: bool = True
    added_at: float = 0.0
    sequence: int = 0
    share: Share | None = field(default=None, repr=False)
    pinned: Pinned | None = field(default=None, repr=False)
    entry: Entry | None = field(default=None, repr=False)
    alike: Hashable | None = field(default=None, repr=False)

    @property
    def unit(self) -> Unit:
        return self.units[self.done]

    @property
    def started(self) -> bool:
        return self.done > 0

    @property
    def steps_left(self) -> int:
        return self.units[self.done :].count(Unit.DENOISE)

    @property
    def ready(self) -> bool:
        """False if the next unit is a step and the key is not known."""
        return self.unit is not Unit.DENOISE or self.key is not None

    def reset(self) -> None:
        """Set the task back to its first unit, with all of its work remaining."""
        self.done, self.key = 0, None
        self.costs = {unit: rounded(seconds) for unit, seconds in self.costs.items()}
        self.remaining = sum(self.costs[unit] for unit in self.units)
        self.encode_ahead = self.costs[Unit.DENOISE] * self.steps_left

    def rescale(self, factor: float) -> None:
        """Count the task's work in another unit, of which ``factor`` make one of the present."""
        self.costs = {unit: rounded(factor * seconds) for unit, seconds in self.costs.items()}
        self.remaining = sum(self.costs[unit] for unit in self.units[self.done :])
        self.encode_ahead, self.added_at = rounded(factor * self.encode_ahead), rounded(factor * self.added_at)

    def copy(self) -> Task:
        """Return a copy that is in no queue."""
        copied = object.__new__(Task)
        for name in _FIELDS:  # three times as fast as copy.copy(), of which a forecast needs hundreds
            setattr(copied, name, getattr(self, name))
        copied.pinned = copied.entry = copied.alike = None
        return copied


_FIELDS = tuple(each.name for each in fields(Task))


@dataclass(frozen=True, slots=True)
class Batch:
    """One unit for these tasks, of which the first leads.

    With ``ahead_for`` they are riders that are encoded so that they can share the next step of that task.
    """

    unit: Unit
    tasks: tuple[Task, ...]
    ahead_for: Task | None = None


def rounded(seconds: float) -> float:
    """Return the nearest amount of work whose sums are exact."""
    return round(seconds / _GRAIN) * _GRAIN
