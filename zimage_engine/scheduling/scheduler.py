"""Who runs next: virtual finish. Pure Python without clock, threads or torch; the engine calls it under a lock.

Work is predicted device seconds alone. Each owner has a meter: the work served, divided by the owner's weight. A
task's tag is its owner's meter plus all the owner must still be served until the task ends, divided by the weight.
The lowest tag leads: it is whom plain fair sharing would let finish first. Serving a task moves its meter up and its
remaining work down by the same, so tags stay, and whoever leads goes on leading until done: no thrashing.

How long a task may take. Let T be its tag and V the lowest active meter when it came, its own owner's later tasks
aside. Only work with tags up to T is led before it ends: at most ``w · (T − meter)`` for an owner of weight w, and no
meter is below ``V − burst ÷ w``. So with n owners it ends within ``stretch · [Σ w · (T − V) + n · burst] + one unit``,
where the unit is what was running, and ``stretch`` (3) is what a leader's second may take on the clock: riders may
double a step, and encoding their texts ahead may take as long again as all of the leader's steps.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import Unit

_SLOWDOWN = 2.0
ENCODES = (Unit.ENCODE_TEXT, Unit.ENCODE_IMAGE)


@dataclass(slots=True, eq=False)
class Task:
    """One request as the scheduler sees it: the units it needs in order, and what each costs alone.

    ``shape`` is what must agree to share a step and is known from the start, ``key`` the whole of it, known once the
    text is encoded. ``tokens`` and ``samples`` are one step's size. ``patience`` is how many seconds of other tasks'
    texts may still be encoded before its own steps.
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
    patience: float = 0.0
    born: float = 0.0
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


@dataclass(frozen=True, slots=True)
class Batch:
    """One unit for these tasks. The first leads; or they are encoded ahead, to ride with ``ahead`` next."""

    unit: Unit
    tasks: tuple[Task, ...]
    ahead: Task | None = None


@dataclass(slots=True, eq=False)
class Owner:
    """``line`` is the owner's tasks as ``(tag, sequence, task)``, lowest tag first; None where it must be made anew."""

    meter: float
    weight: float
    tasks: list[Task] = field(default_factory=list)
    line: list[tuple[float, int, Task]] | None = None

    def tagged(self) -> list[tuple[float, int, Task]]:
        """The line, made anew where something has changed."""
        if self.line is None:
            # Shortest first, and older tasks count as shorter: nothing of one's own waits for ever.
            self.tasks.sort(key=lambda task: (task.born + task.remaining, task.sequence))
            ahead, self.line = 0.0, []
            for task in self.tasks:
                ahead += task.remaining
                self.line.append((self.meter + ahead / self.weight, task.sequence, task))
        return self.line


class Scheduler:
    """The queue of one device. ``burst`` (seconds) is the head start of an owner who has not been served of late."""

    def __init__(self, costs: CostModel, burst: float = 1.0) -> None:
        self.costs = costs
        self.tasks: dict[str, Task] = {}
        self.burst = burst
        self.owners: dict[Hashable, Owner] = {}
        self._clock = 0.0
        self._sequence = 0
        self._encoded_ahead = False

    def add(self, task: Task) -> None:
        """Take a task in; its owner's weight is that of the newest task."""
        self._sequence += 1
        task.sequence, task.born = self._sequence, self._clock
        self._renew(task)
        virtual = self._virtual_time()
        owner = self.owners.setdefault(task.owner, Owner(0.0, task.weight))
        owner.weight = task.weight
        if not owner.tasks:
            owner.meter = max(owner.meter, virtual - self.burst / owner.weight)
        owner.tasks.append(task)
        owner.line = None
        self.tasks[task.id] = task

    def remove(self, task_id: str) -> None:
        """Forget a task; what it was served stays on its owner's meter."""
        task = self.tasks.pop(task_id)
        owner = self.owners[task.owner]
        owner.tasks.remove(task)
        owner.line = None
        if not owner.tasks:
            self._forget_owners()

    def next(self) -> Batch | None:
        """What to run now; None where there is nothing. Nothing changes until :meth:`served`."""
        heads = [owner.tagged()[0] for owner in self.owners.values() if owner.tasks]
        if not heads:
            return None
        leader = min(heads)[2]
        room = self._room(leader, alone=len(heads) == 1) if leader.unit is Unit.DENOISE else 0
        if room < 1:
            return Batch(leader.unit, (leader,))
        others = self._lowest_tags(leader, room)
        if ahead := self._encodes_ahead(leader, others, alone=len(heads) == 1):
            return Batch(ahead[0].unit, ahead, ahead=leader)
        if any(task.unit in ENCODES for task in others):
            others = self._lowest_tags(leader, room, encoded=True)
        return Batch(Unit.DENOISE, (leader, *others))

    def served(self, batch: Batch, times: int = 1) -> None:
        """Book a batch's unit, ``times`` over: every task is charged what the unit costs alone."""
        for task in batch.tasks:
            seconds = times * task.costs[batch.unit]
            owner = self.owners[task.owner]
            owner.meter += seconds / owner.weight
            owner.line = None
            self._clock += seconds
            task.remaining -= seconds
            task.done += times
            if task.done == len(task.units):
                self.remove(task.id)
            if batch.ahead is not None:
                batch.ahead.patience -= seconds
        self._encoded_ahead = batch.ahead is not None

    def settle(self, task: Task, key: Hashable, tokens: int, step: float) -> None:
        """The whole key of a task is known, and with it how large a step is and what it costs."""
        task.key, task.tokens = key, tokens
        if step != task.costs[Unit.DENOISE]:
            dearer = (step - task.costs[Unit.DENOISE]) * task.steps_left
            task.costs = {**task.costs, Unit.DENOISE: step}
            task.remaining += dearer
            task.patience += dearer
            self.owners[task.owner].line = None

    def start_again(self, task: Task) -> None:
        """Everything of this task is to be done once more."""
        task.done, task.key = 0, None
        self._renew(task)
        self.owners[task.owner].line = None

    def ahead_of(self, task: Task) -> int:
        """How many tasks have a lower tag."""
        tags = [entry for owner in self.owners.values() for entry in owner.tagged()]
        own = next(entry for entry in tags if entry[2] is task)
        return sum(entry < own for entry in tags)

    def in_order(self) -> Iterable[Task]:
        """All tasks, lowest tag first."""
        return (task for _, _, task in sorted(entry for owner in self.owners.values() for entry in owner.tagged()))

    def seconds(self, batch: Batch) -> float:
        """How long a batch's unit should take."""
        if batch.unit is Unit.DENOISE:
            leader = batch.tasks[0]
            return self.costs.step(leader.tokens, sum(task.samples for task in batch.tasks))
        return sum(task.costs[batch.unit] for task in batch.tasks)

    def copy(self) -> Scheduler:
        """The same queue apart, to run the rule forward on."""
        twin = copy(self)
        twin.owners = {
            name: replace(each, tasks=[copy(task) for task in each.tasks], line=None)
            for name, each in self.owners.items()
        }
        twin.tasks = {task.id: task for each in twin.owners.values() for task in each.tasks}
        return twin

    @staticmethod
    def _renew(task: Task) -> None:
        task.remaining = sum(task.costs[unit] for unit in task.units)
        task.patience = task.costs[Unit.DENOISE] * task.steps_left

    def _virtual_time(self) -> float:
        return min((owner.meter for owner in self.owners.values() if owner.tasks), default=0.0)

    def _forget_owners(self) -> None:
        """Drop meters that say no more than a newcomer's would; all of them where nobody waits for anybody."""
        floor = self._virtual_time() if self.tasks else math.inf
        self.owners = {
            name: owner
            for name, owner in self.owners.items()
            if owner.tasks or owner.meter > floor - self.burst / owner.weight
        }

    def _room(self, leader: Task, *, alone: bool) -> int:
        """How many may ride along: up to the budget, and not twice the leader's time where others wait."""
        room = self.costs.budget // (leader.tokens * leader.samples) - 1
        if not alone:
            longest = _SLOWDOWN * self.costs.step(leader.tokens, leader.samples)
            while room > 0 and self.costs.step(leader.tokens, leader.samples * (room + 1)) > longest:
                room -= 1
        return room

    def _lowest_tags(self, leader: Task, count: int, *, encoded: bool = False) -> list[Task]:
        """Who could ride with the leader: same key or, but for ``encoded``, same shape and the text still to encode."""
        fitting = (
            entry
            for owner in self.owners.values()
            for entry in owner.tagged()
            if entry[2] is not leader and self._fits(entry[2], leader, encoded=encoded)
        )
        return [task for _, _, task in heapq.nsmallest(count, fitting)]

    @staticmethod
    def _fits(task: Task, leader: Task, *, encoded: bool) -> bool:
        if task.unit is Unit.DENOISE:
            return task.key == leader.key
        return not encoded and task.unit in ENCODES and task.shape == leader.shape

    def _encodes_ahead(self, leader: Task, others: list[Task], *, alone: bool) -> tuple[Task, ...]:
        """Who is to be encoded now to ride next: once before a step, and within the leader's patience."""
        waiting = [] if self._encoded_ahead else [task for task in others if task.unit in ENCODES]
        chosen: list[Task] = []
        left = math.inf if alone else leader.patience
        for task in waiting:
            if task.unit is waiting[0].unit and task.costs[task.unit] <= left:
                left -= task.costs[task.unit]
                chosen.append(task)
        return tuple(chosen)
