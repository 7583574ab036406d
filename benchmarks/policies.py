"""What virtual finish is compared with: first come first served, and batches that run to their end in lockstep."""

from __future__ import annotations

from zimage_engine.scheduling.scheduler import Batch, Scheduler, Task
from zimage_engine.types import Unit

_FAR = 1e6


class Fifo(Scheduler):
    """Who came first leads; the same batching. Everybody counts as one owner whose oldest task is always next."""

    def add(self, task: Task) -> None:
        task.owner = "everybody"
        super().add(task)
        task.born = _FAR * task.sequence

    def _room(self, leader: Task, *, alone: bool) -> int:  # noqa: ARG002
        """Behind the one owner stand many: batches are limited as they are with several owners."""
        return super()._room(leader, alone=False)

    def _encodes_ahead(self, leader: Task, others: list[Task], *, alone: bool) -> tuple[Task, ...]:  # noqa: ARG002
        return super()._encodes_ahead(leader, others, alone=False)


class Lockstep(Fifo):
    """A batch is put together first come first served and runs from the first step to the last before the next one."""

    _together: tuple[Task, ...] = ()

    def next(self) -> Batch | None:
        self._together = tuple(task for task in self._together if task.id in self.tasks)
        if not self._together:
            leader = super().next()
            if leader is None:
                return None
            first = leader.ahead or leader.tasks[0]
            room = max(0, self.costs.budget // (first.tokens * first.samples) - 1)
            same = [task for task in self.in_order() if task.shape == first.shape and task is not first]
            self._together = (first, *same[:room])
        for unit in (Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DECODE):
            ready = tuple(task for task in self._together if task.unit is unit)
            if ready:
                return Batch(unit, ready if unit is Unit.DENOISE else ready[:1])
        raise AssertionError("every task has a unit")
