"""The policies that virtual finish is compared with: first come first served, and batches in lockstep."""

from __future__ import annotations

from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Unit

_AGE_STEP = 1e6  # seconds: more than any task's work, so that the age decides


class Fifo(Scheduler):
    """First come first served with the same batching: all tasks belong to one owner, oldest first."""

    def add(self, task: Task) -> None:
        task.owner = task.group = "everybody"
        super().add(task)
        task.added_at = _AGE_STEP * task.sequence
        self.waiting.place(task)

    def _only_one_owner_waits(self) -> bool:
        return False  # the one owner stands for many


class Lockstep(Fifo):
    """Batches are formed first come first served, and each runs from its first step to its last before the next."""

    _batched: tuple[Task, ...] = ()

    def next(self, name: str) -> Batch | None:
        self._batched = tuple(task for task in self._batched if task.id in self.tasks)
        if not self._batched:
            leader = super().next(name)
            if leader is None:
                return None
            first = leader.ahead_for or leader.tasks[0]
            room = max(0, self.devices[name].costs[first.model].budget // (first.tokens * first.samples) - 1)
            same = [task for task in self.in_order() if task.shape == first.shape and task is not first]
            self._batched = (first, *same[:room])
        for unit in (Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DECODE):
            ready = tuple(task for task in self._batched if task.unit is unit)
            if ready:
                return Batch(unit, ready if unit is Unit.DENOISE else ready[:1])
        raise AssertionError("every task has a unit")
