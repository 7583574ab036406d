"""A device as the scheduler sees it: its costs, and the tasks that it has begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.order import Pinned
from zimage_engine.scheduling.tasks import Task

_SHORT = 1 / 4
"""A task is short beside others if it takes at most this part of what remains of each of them."""


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

    def has_begun_enough(self, leader: Task | None) -> bool:
        """Return True if the leader, which no device has begun, is to be left to the others for now.

        A device begins what it can run at once and one more, so that it always has a unit to launch ahead. What has
        begun cannot move: if the predictions for what waits were too low, a device would otherwise begin all of it,
        one text after another, and the others would have nothing to do in the end. It begins yet another task if that
        is short beside what it has begun, for which it would wait many times as long as it takes itself.
        """
        if leader is None or leader.pinned is not None:
            return False
        at_once = self.costs[leader.model].budget // (leader.tokens * leader.samples)
        more = len(self.pinned.tasks) - max(1, at_once)
        if more <= 0:
            return False
        return more > 1 or leader.remaining > _SHORT * min(task.remaining for task in self.pinned.tasks.values())

    def copy(self) -> Device:
        """Return a copy without tasks."""
        return replace(self, pinned=Pinned())

    def drain(self) -> None:
        """Begin no task any more."""
        self.draining, self.idle = True, False
