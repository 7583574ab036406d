"""Decides who runs next: virtual finish. Pure Python without clock, threads or torch; the engine calls it locked.

Work is predicted device seconds alone. Groups share the device, and owners share what their group gets; both are a
:class:`Share`. The task that leads is found from the top: the group with the lowest tag, in it the owner with the
lowest tag, of the owner's tasks the shortest, where age makes a task shorter. Plain fair sharing would let the task of
the lowest tag finish first. Serving it leaves its tags as they are, so that it leads until it is done: no thrashing.

A bound on how long a task takes, although strangers keep coming: look at its owner among the owners of the group. Let T
be the task's tag when it is added, without its own owner's later tasks. Let V be the virtual time then, W the largest
sum of weights that ever wait at once, b the burst, m the meters, w the weights and r the clock rate.

- Whoever has tasks already is served at most ``B = Σ w · max(0, T − m)`` before the task, as only tags up to T lead.
- Whoever comes later starts at ``V − b ÷ w`` or above, with a tag above that. Virtual time only grows, by at least
  r ÷ W for each second that is served. So after ``W · (T + b ÷ w − V) ÷ r`` seconds nobody who comes goes first, and
  those who came before then are served at most ``w · (T + b ÷ w − V)`` each, ``W · (T + b ÷ w − V)`` in all.

Together the group is served at most ``X = B + W · (1 + 1 ÷ r) · (T + b ÷ w − V)`` before the task ends, with the lowest
w. The same holds for the group among the groups. Its T is the meter plus, divided by the weight, X and whatever tasks
behind it in the group are served meanwhile as riders. The device serves at most Y, which is the expression for X with
the groups' values, and the task ends within ``stretch · Y + one unit``. The one unit is what was running when it was
added. ``stretch`` (3) bounds what a second of a leader's work can take: riders at most double the time of a step, and
encoding ahead for riders takes at most as long as all of the leader's steps.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.shares import Share
from zimage_engine.scheduling.tasks import BEFORE_STEPS, Batch, Task, rounded
from zimage_engine.types import Unit

_SLOWDOWN_MAX = 2.0
"""How many times longer than alone a leader's step may take because of its riders, while other owners wait."""

_LOOK_AHEAD = 200
"""Riders are chosen by tag among this many tasks; if those are too few, the oldest of the others join them."""

_POSITION_MAX = 500


class Scheduler:
    """The order of one device's tasks. ``burst`` (seconds) is the head start of an owner or group that comes back."""

    def __init__(self, costs: CostModel, burst: float = 1.0) -> None:
        self.costs = costs
        self.tasks: dict[str, Task] = {}
        self.burst = burst
        self.device = Share()
        self._served_seconds = 0.0
        self._sequence = 0
        self._encoded_ahead = False
        self._index: dict[Hashable, dict[str, Task]] = {}

    def add(self, task: Task) -> None:
        """Add a task. The weights of its group and owner become the task's."""
        self._sequence += 1
        task.sequence, task.added_at = self._sequence, self._served_seconds
        task.reset()
        group = self.device.child(task.group, task.group_weight, self.burst)
        task.share = group.child(task.owner, task.weight, self.burst)
        self._place(task)

    def remove(self, task_id: str) -> None:
        """Remove a task; the meters keep what it was served."""
        task = self.tasks.pop(task_id)
        self._unindex(task)
        share_of(task).remove(task)

    def next(self) -> Batch | None:
        """Return what to run now. Changes nothing; :meth:`served` does.

        Returns None if there are no tasks, or none whose key is known or not yet needed.
        """
        leader = next((task for task in self.in_order() if task.ready), None)
        if leader is None:
            return None
        alone = self._only_one_owner_waits()
        room = self._room(leader, alone=alone) if leader.unit is Unit.DENOISE else 0
        if room < 1:
            return Batch(leader.unit, (leader,))
        riders = self._riders(leader, room)
        if encoded := self._encode_ahead(leader, riders, alone=alone):
            return Batch(encoded[0].unit, encoded, ahead_for=leader)
        if any(task.unit in BEFORE_STEPS for task in riders):
            riders = self._riders(leader, room, encoded=True)
        return Batch(Unit.DENOISE, (leader, *riders))

    def served(self, batch: Batch, times: int = 1) -> None:
        """Record that a batch's unit is done ``times`` times. Each task is charged what the unit costs alone.

        A task whose last unit that was is removed.
        """
        for task in batch.tasks:
            self._charge(task, times * task.costs[batch.unit])
            _advance(task, batch, times)
            if task.done == len(task.units):
                self.remove(task.id)
            else:
                self._place(task)
        self._encoded_ahead = batch.ahead_for is not None

    def undo(self, batch: Batch) -> None:
        """Take back one :meth:`served` of this batch, since its unit was not done after all.

        Tasks that were removed by it are in their place again. Later batches of other tasks may stand.
        """
        for task in batch.tasks:
            self._readmit(task)
            _advance(task, batch, -1)
            self._place(task)
            self._charge(task, -task.costs[batch.unit])
            self._place(task)
        self._encoded_ahead = False

    def set_key(self, task: Task, key: Hashable, tokens: int, step: float) -> None:
        """Record a task's key, which is known now, and the tokens and the seconds of a step that follow from it."""
        task.key, task.tokens = key, tokens
        added = (rounded(step) - task.costs[Unit.DENOISE]) * task.steps_left
        task.costs = {**task.costs, Unit.DENOISE: rounded(step)}
        task.remaining += added
        task.encode_ahead += added
        if task.id in self.tasks:
            self._place(task)

    def restart(self, task: Task) -> None:
        """Set a task back to its first unit, in its old place even if it was removed; the meters stay."""
        self._readmit(task)
        task.reset()
        self._place(task)

    def position(self, task: Task) -> int:
        """Return the number of tasks that come before this one; beyond 500, that of all others.

        Counting takes longer the more there are, and whoever asks holds up the engine and the event loop.
        """
        first = enumerate(islice(self.in_order(), _POSITION_MAX))
        return next((number for number, other in first if other is task), len(self.tasks) - 1)

    def in_order(self) -> Iterator[Task]:
        """Return all tasks in the order in which they lead if nothing else comes."""
        return self.device.tasks()

    def seconds(self, batch: Batch) -> float:
        """Return the seconds that a batch's unit is expected to take."""
        if batch.unit is Unit.DENOISE:
            leader = batch.tasks[0]
            return self.costs.step(leader.tokens, sum(task.samples for task in batch.tasks))
        return sum(task.costs[batch.unit] for task in batch.tasks)

    def copy(self) -> Scheduler:
        """Return a copy with shares and tasks of its own, to run the rule forward on. The costs are shared."""
        return self.with_tasks(task.copy() for task in self.tasks.values())

    def snapshot(self, count: int) -> Snapshot:
        """Return the order of now. To run the rule forward on, it has copies of the first ``count`` tasks."""
        first = tuple(task.copy() for task in islice(self.in_order(), count))
        return Snapshot(self, first, self.device.copy_order() if len(self.tasks) > count else None)

    def with_tasks(self, copies: Iterable[Task]) -> Scheduler:
        """Return a scheduler of these copies of its tasks, which it takes over.

        Nothing may be added to it, as it has only their shares.
        """
        copied = Scheduler(self.costs, self.burst)
        copied._encoded_ahead = self._encoded_ahead
        shares = {self.device: copied.device}
        for task in copies:
            task.share = share_of(task).copy(shares)
            copied._place(task)
        return copied

    def _charge(self, task: Task, seconds: float) -> None:
        share_of(task).charge(seconds)
        self._served_seconds += seconds

    def _place(self, task: Task) -> None:
        """Put a task in its place in the order and in the index, or move it there."""
        self.tasks[task.id] = task
        # Shortest first, but an older task counts as shorter, so that none of the owner's tasks starves.
        share_of(task).place(task, task.added_at + task.remaining, task.sequence)
        name = _index_name(task)
        if task.indexed_as != name:
            self._unindex(task)
            task.indexed_as = name
            if name is not None:
                self._index.setdefault(name, {})[task.id] = task

    def _unindex(self, task: Task) -> None:
        if task.indexed_as is not None:
            alike = self._index[task.indexed_as]
            del alike[task.id]
            if not alike:
                del self._index[task.indexed_as]
            task.indexed_as = None

    def _readmit(self, task: Task) -> None:
        """Give a task its share again, with the meters as they were left, if it was removed after its last unit."""
        if task.id not in self.tasks:
            task.share = share_of(task).rejoin()

    def _only_one_owner_waits(self) -> bool:
        group = share_of(self.device.head).parent
        return len(self.device.queue) == 1 and group is not None and len(group.queue) == 1

    def _room(self, leader: Task, *, alone: bool) -> int:
        """Return the number of tasks that may share the leader's step.

        The token budget bounds it and, unless the leader's owner is ``alone``, the slowdown of the leader.
        """
        room = self.costs.budget // (leader.tokens * leader.samples) - 1
        if not alone:
            longest = _SLOWDOWN_MAX * self.costs.step(leader.tokens, leader.samples)
            while room > 0 and self.costs.step(leader.tokens, leader.samples * (room + 1)) > longest:
                room -= 1
        return room

    def _riders(self, leader: Task, count: int, *, encoded: bool = False) -> list[Task]:
        """Return the ``count`` tasks of lowest tag that could share the leader's step.

        Unless only ``encoded`` ones are wanted, that includes tasks of its shape that are still to be encoded.
        """
        names = [("key", leader.key)] if encoded else [("key", leader.key), ("shape", leader.shape)]
        fitting = [self._index.get(name, {}) for name in names]
        count = min(count, sum(map(len, fitting)) - 1)
        riders: list[Task] = []
        for task in islice(self.in_order(), _LOOK_AHEAD):
            if len(riders) == count:
                return riders
            if task is not leader and task.indexed_as in names:
                riders.append(task)
        chosen = {leader, *riders}
        others = (task for alike in fitting for task in alike.values() if task not in chosen)
        return [*riders, *islice(others, count - len(riders))]

    def _encode_ahead(self, leader: Task, riders: list[Task], *, alone: bool) -> tuple[Task, ...]:
        """Return the riders to encode now, so that they can share the leader's next step.

        None of them directly after other riders were encoded, and only as many as the leader's ``encode_ahead`` allows,
        unless its owner is ``alone``.
        """
        allowed = leader.encodes_ahead and not self._encoded_ahead
        waiting = [task for task in riders if task.unit in BEFORE_STEPS] if allowed else []
        chosen: list[Task] = []
        left = math.inf if alone else leader.encode_ahead
        for task in waiting:
            if task.unit is waiting[0].unit and task.costs[task.unit] <= left:
                left -= task.costs[task.unit]
                chosen.append(task)
        return tuple(chosen)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What :meth:`Scheduler.snapshot` returns, to be used without the engine's lock.

    Meters and what remains of later tasks are read when they are used. They may be a unit ahead by then, which makes
    no difference to a forecast.
    """

    scheduler: Scheduler
    first: tuple[Task, ...]
    order: Share | None

    def to_run(self) -> Scheduler:
        """Return a scheduler with the first tasks. Call it once: the copies are its own then."""
        return self.scheduler.with_tasks(self.first)

    def names(self) -> list[str]:
        """Return the ids of all tasks in order."""
        return [task.id for task in (self.first if self.order is None else self.order.tasks())]


def share_of(task: Task) -> Share:
    """Return the share of a task's owner; the task must have been added to a scheduler."""
    assert task.share is not None
    return task.share


def _advance(task: Task, batch: Batch, times: int) -> None:
    """Count a batch's unit as done ``times`` times for one of its tasks."""
    seconds = times * task.costs[batch.unit]
    task.remaining -= seconds
    task.done += times
    if batch.ahead_for is not None:
        batch.ahead_for.encode_ahead -= seconds


def _index_name(task: Task) -> Hashable:
    """Return the name of the set of tasks that can share a step with this one; None if it cannot share any."""
    if task.unit in BEFORE_STEPS:
        return ("shape", task.shape)
    return ("key", task.key) if task.unit is Unit.DENOISE and task.ready else None
