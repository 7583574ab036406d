"""Predicts when each task ends, by running the scheduler's rule forward on copies, and beyond by the pace of that.

Running forward takes longer the more devices and tasks there are, so it ends after a number of batches. A task that
does not end by then ends when its *pool* has done the work before it in the order, and its own. A pool is devices that
may serve the same models, directly or by way of another one's models; its pace is the work that its devices did in a
second while they were run forward, riders included. What ends before the order says so, or later, shows in the tasks
whose ends are known: the others are moved by as much.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from zimage_engine.scheduling.devices import Device
from zimage_engine.scheduling.estimates import CACHED_TEXT_SECONDS
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.snapshot import Snapshot
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Unit

_BATCHES_MAX = 300
_BATCHES_A_DEVICE = 6
"""Of many devices each is run for about one request: its text, its steps, and its picture, with those of riders."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The ``work`` that a device did, in reference seconds, in so many ``seconds``."""

    work: float
    seconds: float


_NO_PACE = Pace(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of running forward.

    ``ends`` are the predicted seconds from now to the end of each task that ended, by id. ``paces`` are those of the
    devices that begin tasks, by name, until the first one that may serve some of their models has no more to do.
    """

    ends: Mapping[str, float]
    paces: Mapping[str, Pace]


@dataclass(slots=True, eq=False)
class _Pool:
    """Devices that share the tasks of these models, of which they do ``speed`` seconds of work in a second.

    ``work`` is that of the tasks so far, in order. ``early`` has how much sooner each one of known end ends than
    work ÷ speed says.
    """

    models: frozenset[str]
    speed: float
    work: float = 0.0
    early: list[float] = field(default_factory=list)

    def add(self, task: Task, known: float | None) -> float:
        """Return when the next task of the order ends by the pool's speed alone."""
        self.work += task.remaining
        end = self.work / self.speed
        if known is not None:
            self.early.append(end - known)
        return end


def expected_ends(snapshot: Snapshot) -> dict[str, float | None]:
    """Return the predicted seconds from now to the end of each task, in the order in which they lead.

    None for the tasks of models that no device serves. Call it once for a snapshot.
    """
    scheduler = snapshot.to_run()
    run = run_forward(scheduler, max(_BATCHES_MAX, _BATCHES_A_DEVICE * len(scheduler.devices)))
    pools = [pool for pool in _pools(scheduler.devices.values(), run.paces) if pool.speed]
    serving = {model: pool for pool in pools for model in pool.models}
    ends: dict[str, float | None] = {}
    beyond: list[tuple[str, _Pool, float]] = []
    for task in snapshot.order.tasks():
        known = ends[task.id] = run.ends.get(task.id)
        if (pool := serving.get(task.model)) is not None:
            end = pool.add(task, known)
            if known is None:
                beyond.append((task.id, pool, end))
    early = {pool: median(pool.early or [0.0]) for pool in pools}
    return ends | {name: max(0.0, end - early[pool]) for name, pool, end in beyond}


def _pools(devices: Iterable[Device], paces: Mapping[str, Pace]) -> list[_Pool]:
    pools: list[_Pool] = []
    for device in devices:
        if device.draining:
            continue
        pace = paces.get(device.name, _NO_PACE)
        joined = _Pool(device.allowed, pace.work / pace.seconds if pace.seconds else 0.0)
        for pool in [pool for pool in pools if pool.models & joined.models]:
            pools.remove(pool)
            joined = _Pool(pool.models | joined.models, pool.speed + joined.speed)
        pools.append(joined)
    return pools


def run_forward(scheduler: Scheduler, batches: int = _BATCHES_MAX) -> Run:
    """Serve up to ``batches`` batches of a copied scheduler on its devices side by side, which changes it."""
    ends: dict[str, float] = {}
    paces: dict[str, Pace] = {}
    ended: set[str] = set()  # the models of devices that have no more to do
    keys = {_size(task): task.key for task in scheduler.tasks.values() if task.key is not None}
    for task in scheduler.tasks.values():
        if not task.ready:  # its text is being encoded
            _guess_key(scheduler, task, keys)
    free = [(0.0, number, name) for number, name in enumerate(scheduler.devices)]
    for _ in range(batches):
        # Nothing comes, so a device that finds nothing to do never will.
        while free and (batch := scheduler.next(free[0][2])) is None:
            _, _, name = heapq.heappop(free)
            if name in paces:  # else nothing waits for what it holds
                ended |= scheduler.devices[name].allowed
        if not free or batch is None:
            break
        clock, number, name = free[0]
        # The same batch leads until one of its tasks has taken its last step: all steps up to there are served at once.
        times = min(task.steps_left for task in batch.tasks) if batch.unit is Unit.DENOISE else 1
        clock += times * scheduler.seconds(name, batch)
        heapq.heapreplace(free, (clock, number, name))
        scheduler.served(name, batch, times)
        device = scheduler.devices[name]
        if not device.draining and ended.isdisjoint(device.allowed):
            served = 0.0 if batch.unit is Unit.LOAD_MODEL else sum(task.costs[batch.unit] for task in batch.tasks)
            paces[name] = Pace(paces.get(name, _NO_PACE).work + times * served, clock)
        if batch.unit is Unit.LOAD_MODEL:
            scheduler.loaded(name, frozenset({batch.tasks[0].model}))
            continue
        _mark_encoded(scheduler, batch)
        for task in batch.tasks:
            if task.done == len(task.units):
                ends[task.id] = clock
            elif task.key is None:
                _guess_key(scheduler, task, keys)
    return Run(ends, paces)


def _guess_key(scheduler: Scheduler, task: Task, keys: dict[Hashable, Hashable]) -> None:
    """Set a key for a task whose captions' lengths are estimated: that of another one of this size, if there is one."""
    key = keys.setdefault(_size(task), _size(task))
    scheduler.set_key(task, key, task.tokens, task.costs[Unit.DENOISE])


def _size(task: Task) -> Hashable:
    return task.shape, task.tokens


def _mark_encoded(scheduler: Scheduler, batch: Batch) -> None:
    """Predict the texts that a batch has encoded as cached for the tasks that have not started, as the queue does."""
    if batch.unit is not Unit.ENCODE_TEXT:
        return
    encoded = {task.texts for task in batch.tasks} - {None}
    for task in list(scheduler.tasks.values()) if encoded else ():
        if task.texts in encoded and task.pinned is None:
            scheduler.set_costs(task, {**task.costs, Unit.ENCODE_TEXT: CACHED_TEXT_SECONDS})
