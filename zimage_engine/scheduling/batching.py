"""Which tasks share the step of a leader, and which are encoded first so that they can."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.tasks import BEFORE_STEPS, Task
from zimage_engine.types import Unit

_SLOWDOWN_MAX = 2.0
"""How many times longer than alone a leader's step may take because of its riders, while other owners wait."""

_LOOK_AHEAD = 200
"""Riders are chosen by tag among this many tasks; if those are too few, the oldest of the others join them."""


class Alike:
    """Tasks by what makes them able to share a step, each set in the order in which they came."""

    def __init__(self) -> None:
        self._sets: dict[Hashable, dict[str, Task]] = {}

    def place(self, task: Task) -> None:
        """Add a task, or move it to the set where it belongs now."""
        name = _alike_name(task)
        if task.alike != name:
            self.remove(task)
            task.alike = name
            if name is not None:
                self._sets.setdefault(name, {})[task.id] = task

    def remove(self, task: Task) -> None:
        """Remove a task; ignores one that is in no set."""
        if task.alike is not None:
            alike = self._sets[task.alike]
            del alike[task.id]
            if not alike:
                del self._sets[task.alike]
            task.alike = None

    def get(self, name: Hashable) -> dict[str, Task]:
        """Return the tasks of this name."""
        return self._sets.get(name, {})


def _alike_name(task: Task) -> Hashable:
    """Return the name of the set of tasks that can share a step with this one; None if it cannot share any."""
    if task.done == len(task.units):
        return None
    if task.unit in BEFORE_STEPS:
        return ("shape", task.shape)
    return ("key", task.key) if task.unit is Unit.DENOISE and task.ready else None


def room(costs: CostModel, leader: Task, *, alone: bool) -> int:
    """Return the number of tasks that may share the leader's step.

    The token budget bounds it and, unless the leader's owner is ``alone``, the slowdown of the leader.
    """
    count = costs.budget // (leader.tokens * leader.samples) - 1
    if not alone:
        longest = _SLOWDOWN_MAX * costs.step(leader.tokens, leader.samples)
        while count > 0 and costs.step(leader.tokens, leader.samples * (count + 1)) > longest:
            count -= 1
    return count


def riders(
    order: Iterator[Task], leader: Task, count: int, pinned: Alike, waiting: Alike, spare: int, *, encoded: bool
) -> list[Task]:
    """Return up to ``count`` tasks of lowest tag that could share the leader's step, in ``order``.

    Unless only ``encoded`` ones are wanted, that includes tasks of its shape that are still to be encoded. ``spare`` of
    them may be ``waiting``; the others are ``pinned`` to the device already.
    """
    names: list[Hashable] = [("key", leader.key)] if encoded else [("key", leader.key), ("shape", leader.shape)]
    fitting = [pinned.get(name) for name in names]
    count = min(count, sum(map(len, fitting)) - 1 + spare)
    chosen: list[Task] = []
    for task in islice(order, _LOOK_AHEAD):
        if len(chosen) == count:
            return chosen
        if task is leader or task.alike not in names or (task.pinned is None and not spare):
            continue
        spare -= task.pinned is None
        chosen.append(task)
    others = _others(fitting, {leader, *chosen})
    chosen += islice(others, count - len(chosen))
    others = _others([waiting.get(name) for name in names], {leader, *chosen})
    return [*chosen, *islice(others, min(spare, count - len(chosen)))]


def encoded_ahead(leader: Task, riders: list[Task], *, alone: bool) -> tuple[Task, ...]:
    """Return the riders to encode now, so that they can share the leader's next step.

    Only as many as the leader's ``encode_ahead`` allows, unless its owner is ``alone``.
    """
    waiting = [task for task in riders if task.unit in BEFORE_STEPS] if leader.encodes_ahead else []
    chosen: list[Task] = []
    left = math.inf if alone else leader.encode_ahead
    for task in waiting:
        if task.unit is waiting[0].unit and task.costs[task.unit] <= left:
            left -= task.costs[task.unit]
            chosen.append(task)
    return tuple(chosen)


def _others(fitting: Iterable[dict[str, Task]], chosen: set[Task]) -> Iterator[Task]:
    return (task for alike in fitting for task in alike.values() if task not in chosen)
