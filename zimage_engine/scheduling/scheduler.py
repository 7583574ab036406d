"""Decides who runs next: virtual finish. Pure Python without clock, threads or torch; the engine calls it locked.

Work is predicted device seconds alone. Each owner has a meter: the work served, divided by the owner's weight. The tag
of a task is its owner's meter plus all the work that the owner must still be served until the task ends, divided by
the weight. The task with the lowest tag leads: plain fair sharing would let it finish first. Serving a task raises its
owner's meter and lowers its remaining work by the same amount, so its tag stays and it leads until it is done: no
thrashing.

A bound on how long a task takes: let T be its tag and V the lowest active meter when it is added, without its own
owner's later tasks. Only work with tags up to T leads before it ends: at most ``w · (T − meter)`` for an owner of
weight w, and no meter is below ``V − burst ÷ w``. So with n owners it ends within
``stretch · [Σ w · (T − V) + n · burst] + one unit``. The one unit is what was running when it was added. ``stretch``
(3) bounds what a second of a leader's work can take: riders at most double the time of a step, and encoding ahead for
riders takes at most as long as all of the leader's steps.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import Unit

_SLOWDOWN_MAX = 2.0
"""How many times longer than alone a leader's step may take because of its riders, while other owners wait."""

BEFORE_STEPS = (Unit.ENCODE_TEXT, Unit.ENCODE_IMAGE)
"""Units that come before the steps; requests that will share a step are served them ahead."""


@dataclass(slots=True, eq=False)
class Task:
    """One request as the scheduler sees it: the units that it needs, in order, and the seconds that each takes alone.

    Tasks share a step if their ``key`` is equal. It is known once the text is encoded; ``shape`` is the part of it that
    is known from the start. ``tokens`` and ``samples`` are the size of one step. ``encode_ahead`` is how many seconds
    may still be spent on encoding other tasks' prompts before this task's own steps. ``added_at`` is the scheduler's
    count of served seconds when the task was added.
    """

    id: str
    owner: Hashable
    units: tuple[Unit, ...]
    costs: Mapping[Unit, float]
    shape: Hashable
    tokens: int
    samples: int = 1
    weight: float = 1.0
    key: Hashable | None = None
    done: int = 0
    remaining: float = 0.0
    encode_ahead: float = 0.0
    added_at: float = 0.0
    sequence: int = 0

    @property
    def unit(self) -> Unit:
        return self.units[self.done]

    @property
    def started(self) -> bool:
        return self.done > 0

    @property
    def steps_left(self) -> int:
        return self.units[self.done :].count(Unit.DENOISE)


TaggedTask = tuple[float, int, Task]
"""A tag, the sequence number that decides between equal tags, and their task."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One unit for these tasks, of which the first leads.

    With ``ahead_for`` they are riders that are encoded so that they can share the next step of that task.
    """

    unit: Unit
    tasks: tuple[Task, ...]
    ahead_for: Task | None = None


@dataclass(slots=True, eq=False)
class Owner:
    """An owner's meter and tasks. ``cached`` is the last answer of :meth:`tagged`, None if something has changed."""

    meter: float
    weight: float
    tasks: list[Task] = field(default_factory=list)
    cached: list[TaggedTask] | None = None

    def tagged(self) -> list[TaggedTask]:
        """Return the owner's tasks with their tags, lowest first."""
        if self.cached is None:
            # Shortest first, but an older task counts as shorter, so that none of the owner's tasks starves.
            self.tasks.sort(key=lambda task: (task.added_at + task.remaining, task.sequence))
            work, self.cached = 0.0, []
            for task in self.tasks:
                work += task.remaining
                self.cached.append((self.meter + work / self.weight, task.sequence, task))
        return self.cached


class Scheduler:
    """The order of one device's tasks. ``burst`` (seconds) is the head start of an owner who comes back."""

    def __init__(self, costs: CostModel, burst: float = 1.0) -> None:
        self.costs = costs
        self.tasks: dict[str, Task] = {}
        self.burst = burst
        self.owners: dict[Hashable, Owner] = {}
        self._served_seconds = 0.0
        self._sequence = 0
        self._encoded_ahead = False

    def add(self, task: Task) -> None:
        """Add a task. Its owner's weight becomes the task's."""
        self._sequence += 1
        task.sequence, task.added_at = self._sequence, self._served_seconds
        self._reset_work(task)
        virtual = self._virtual_time()
        owner = self.owners.setdefault(task.owner, Owner(0.0, task.weight))
        owner.weight = task.weight
        if not owner.tasks:
            owner.meter = max(owner.meter, virtual - self.burst / owner.weight)
        owner.tasks.append(task)
        owner.cached = None
        self.tasks[task.id] = task

    def remove(self, task_id: str) -> None:
        """Remove a task; its owner's meter keeps what the task was served."""
        task = self.tasks.pop(task_id)
        owner = self.owners[task.owner]
        owner.tasks.remove(task)
        owner.cached = None
        if not owner.tasks:
            self._forget_owners()

    def next(self) -> Batch | None:
        """Return what to run now, or None if there are no tasks. Changes nothing; :meth:`served` does."""
        heads = [owner.tagged()[0] for owner in self.owners.values() if owner.tasks]
        if not heads:
            return None
        leader = min(heads)[2]
        room = self._room(leader, alone=len(heads) == 1) if leader.unit is Unit.DENOISE else 0
        if room < 1:
            return Batch(leader.unit, (leader,))
        riders = self._riders(leader, room)
        if encoded := self._encode_ahead(leader, riders, alone=len(heads) == 1):
            return Batch(encoded[0].unit, encoded, ahead_for=leader)
        if any(task.unit in BEFORE_STEPS for task in riders):
            riders = self._riders(leader, room, encoded=True)
        return Batch(Unit.DENOISE, (leader, *riders))

    def served(self, batch: Batch, times: int = 1) -> None:
        """Record that a batch's unit was done ``times`` times. Each task is charged what the unit costs alone."""
        for task in batch.tasks:
            seconds = times * task.costs[batch.unit]
            owner = self.owners[task.owner]
            owner.meter += seconds / owner.weight
            owner.cached = None
            self._served_seconds += seconds
            task.remaining -= seconds
            task.done += times
            if task.done == len(task.units):
                self.remove(task.id)
            if batch.ahead_for is not None:
                batch.ahead_for.encode_ahead -= seconds
        self._encoded_ahead = batch.ahead_for is not None

    def undo(self, batch: Batch) -> None:
        """Take back one :meth:`served` of a batch whose unit was not done after all."""
        for task in batch.tasks:
            seconds = task.costs[batch.unit]
            if task.id not in self.tasks:
                self.owners.setdefault(task.owner, Owner(self._virtual_time(), task.weight)).tasks.append(task)
                self.tasks[task.id] = task
            owner = self.owners[task.owner]
            owner.meter -= seconds / owner.weight
            owner.cached = None
            task.remaining += seconds
            task.done -= 1
            if batch.ahead_for is not None:
                batch.ahead_for.encode_ahead += seconds

    def set_key(self, task: Task, key: Hashable, tokens: int, step: float) -> None:
        """Record a task's key, which is known now, and the tokens and the seconds of a step that follow from it."""
        task.key, task.tokens = key, tokens
        if step != task.costs[Unit.DENOISE]:
            added = (step - task.costs[Unit.DENOISE]) * task.steps_left
            task.costs = {**task.costs, Unit.DENOISE: step}
            task.remaining += added
            task.encode_ahead += added
            self.owners[task.owner].cached = None

    def restart(self, task: Task) -> None:
        """Set a task back to its first unit; its owner's meter stays."""
        task.done, task.key = 0, None
        self._reset_work(task)
        if task.id not in self.tasks:
            self.owners.setdefault(task.owner, Owner(self._virtual_time(), task.weight)).tasks.append(task)
            self.tasks[task.id] = task
        self.owners[task.owner].cached = None

    def position(self, task: Task) -> int:
        """Return the number of tasks with a lower tag."""
        tagged = [entry for owner in self.owners.values() for entry in owner.tagged()]
        own = next(entry for entry in tagged if entry[2] is task)
        return sum(entry < own for entry in tagged)

    def in_order(self) -> Iterable[Task]:
        """Return all tasks, lowest tag first."""
        return (task for _, _, task in sorted(entry for owner in self.owners.values() for entry in owner.tagged()))

    def seconds(self, batch: Batch) -> float:
        """Return the seconds that a batch's unit is expected to take."""
        if batch.unit is Unit.DENOISE:
            leader = batch.tasks[0]
            return self.costs.step(leader.tokens, sum(task.samples for task in batch.tasks))
        return sum(task.costs[batch.unit] for task in batch.tasks)

    def copy(self) -> Scheduler:
        """Return a copy with owners and tasks of its own, to run the rule forward on. The costs are shared."""
        copied = copy(self)
        copied.owners = {
            name: replace(owner, tasks=[copy(task) for task in owner.tasks], cached=None)
            for name, owner in self.owners.items()
        }
        copied.tasks = {task.id: task for owner in copied.owners.values() for task in owner.tasks}
        return copied

    @staticmethod
    def _reset_work(task: Task) -> None:
        task.remaining = sum(task.costs[unit] for unit in task.units)
        task.encode_ahead = task.costs[Unit.DENOISE] * task.steps_left

    def _virtual_time(self) -> float:
        """Return the lowest meter of the owners who have tasks; 0 if none has."""
        return min((owner.meter for owner in self.owners.values() if owner.tasks), default=0.0)

    def _forget_owners(self) -> None:
        """Remove the owners without tasks whose meter is no higher than a newcomer's; all if there are no tasks."""
        floor = self._virtual_time() if self.tasks else math.inf
        self.owners = {
            name: owner
            for name, owner in self.owners.items()
            if owner.tasks or owner.meter > floor - self.burst / owner.weight
        }

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
        fitting = (
            entry
            for owner in self.owners.values()
            for entry in owner.tagged()
            if entry[2] is not leader and self._can_ride(entry[2], leader, encoded=encoded)
        )
        return [task for _, _, task in heapq.nsmallest(count, fitting)]

    @staticmethod
    def _can_ride(task: Task, leader: Task, *, encoded: bool) -> bool:
        if task.unit is Unit.DENOISE:
            return task.key == leader.key
        return not encoded and task.unit in BEFORE_STEPS and task.shape == leader.shape

    def _encode_ahead(self, leader: Task, riders: list[Task], *, alone: bool) -> tuple[Task, ...]:
        """Return the riders to encode now, so that they can share the leader's next step.

        None of them directly after other riders were encoded, and only as many as the leader's ``encode_ahead`` allows,
        unless its owner is ``alone``.
        """
        waiting = [] if self._encoded_ahead else [task for task in riders if task.unit in BEFORE_STEPS]
        chosen: list[Task] = []
        left = math.inf if alone else leader.encode_ahead
        for task in waiting:
            if task.unit is waiting[0].unit and task.costs[task.unit] <= left:
                left -= task.costs[task.unit]
                chosen.append(task)
        return tuple(chosen)
