"""A device as the scheduler sees it: its costs, and the tasks that it has begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.order import Pinned
from zimage_engine.scheduling.tasks import Task

SHORTER = 4
"""How many times shorter than all that a full device has begun a task must be, for it to begin that task, too."""


@dataclass(slots=True, eq=False)
class Device:
    """A device that is ready. ``costs`` are its own, by model.

    It holds ``models`` and may hold each of ``allowed``. ``loading`` is the one that is being loaded, ``load_seconds``
    what that is expected to take, by model.
    ``pace`` is, by model, how many times longer than the reference device it takes, 1 where nothing is known. With
    ``draining`` it begins no task any more. ``idle`` is True if it found nothing to do when it last asked.
    ``encoded_ahead`` is True if its last unit was to encode riders.
    """

    name: str
    costs: Mapping[str, CostModel]
    models: frozenset[str]
    allowed: frozenset[str]
    load_seconds: Mapping[str, float] = field(default_factory=dict)
    loading: str | None = None
    pace: Mapping[str, float] = field(default_factory=dict)
    draining: bool = False
    idle: bool = False
    encoded_ahead: bool = False
    pinned: Pinned = field(default_factory=Pinned)

    def has(self, model: str) -> bool:
        """Return True if the device serves requests of a model, or soon will."""
        return not self.draining and (model == self.loading if self.loading else model in self.models)

    def is_full(self, task: Task) -> bool:
        """Return True if the device has begun what it can run at once of tasks like this one, and one more.

        So it always has a unit to launch ahead. What has begun cannot move: if the predictions for what waits were too
        low, a device would otherwise begin all of it, one text after another, and the others would have nothing to do
        in the end.
        """
        return self._more_than_at_once(task) > 0

    def has_begun_enough(self, leader: Task | None) -> bool:
        """Return True if the leader, which no device has begun, is to be left to the others for now.

        A full device begins one task more if that is short, which would else wait many times as long as it takes.
        """
        if leader is None or leader.pinned is not None or not self.is_full(leader):
            return False
        remaining = min(task.remaining for task in self.pinned.tasks.values())
        return self._more_than_at_once(leader) > 1 or leader.remaining * SHORTER > remaining

    def _more_than_at_once(self, task: Task) -> int:
        at_once = self.costs[task.model].budget // (task.tokens * task.samples)
        return len(self.pinned.tasks) - max(1, at_once)

    def copy(self) -> Device:
        """Return a copy without tasks."""
        return replace(self, pinned=Pinned())

    def drain(self) -> None:
        """Begin no task any more."""
        self.draining, self.idle = True, False
