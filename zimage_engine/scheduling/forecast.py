"""Predicts when each task ends, by running the scheduler's rule forward on copies. Free of torch."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager

from zimage_engine.scheduling.estimates import CACHED_TEXT_SECONDS
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Queued, Unit

log = logging.getLogger(__name__)

_BATCHES_MAX = 300
_TASKS_MAX = 200
"""How many tasks are copied: about as many as end within so many batches."""
_INTERVAL = 1.0
"""Least seconds between two forecasts."""
_REST = 50
"""How many times as long as a forecast took there is none after it: it takes at most 2 % of a core."""
_PUBLISHED_AT_ONCE = 200
"""How many events are published without releasing the engine's lock."""


class Forecaster:
    """Tells waiting requests their positions and expected times, in a thread of its own.

    ``lock`` guards the queue and ``publish``. It is held only to copy the tasks that come next, and for short runs of
    events: not for the forecast itself.
    """

    def __init__(
        self, lock: AbstractContextManager[object], queue: RequestQueue, publish: Callable[[Published], None]
    ) -> None:
        self._lock = lock
        self._queue = queue
        self._publish = publish
        self._due = threading.Event()
        self._stopped = threading.Event()
        self._told: dict[str, Queued] = {}
        self._thread = threading.Thread(target=self._run, name="zimage-forecast", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """Ask for a forecast, since a unit has ended. Never waits; any number of calls make one forecast."""
        self._due.set()

    def stop(self) -> None:
        """End the thread after the forecast that is running, if any. Does not wait for it."""
        self._stopped.set()
        self._due.set()

    def update(self) -> bool:
        """Make a forecast and publish what has changed since the last one. Returns False if no request waits."""
        with self._lock:
            snapshot = self._queue.snapshot(_TASKS_MAX)
        if snapshot is None:
            self._told.clear()
            return False
        ends = run_forward(snapshot.to_run())
        told = {name: Queued(position, ends.get(name)) for position, name in enumerate(snapshot.names())}
        changed = [(name, event) for name, event in told.items() if event != self._told.get(name)]
        self._told = told
        for start in range(0, len(changed), _PUBLISHED_AT_ONCE):
            with self._lock:
                events = changed[start : start + _PUBLISHED_AT_ONCE]
                self._publish([(name, event) for name, event in events if self._queue.is_waiting(name)])
        return True

    def _run(self) -> None:
        while self._due.wait() and not self._stopped.is_set():
            self._due.clear()
            began = time.thread_time()
            try:
                made = self.update()
            except Exception:
                log.exception("no forecast")
                made = True
            if made:
                self._stopped.wait(max(_INTERVAL, _REST * (time.thread_time() - began)))


def run_forward(scheduler: Scheduler, batches: int = _BATCHES_MAX) -> dict[str, float]:
    """Serve up to ``batches`` batches of a copied scheduler on its devices side by side, which changes it.

    Returns the predicted seconds from now to the end of each task that ends by then.
    """
    ends: dict[str, float] = {}
    keys = {_size(task): task.key for task in scheduler.tasks.values() if task.key is not None}
    free = [(0.0, number, name) for number, name in enumerate(scheduler.devices)]
    for _ in range(batches):
        # Nothing comes, so a device that finds nothing to do never will.
        while free and (batch := scheduler.next(free[0][2])) is None:
            heapq.heappop(free)
        if not free or batch is None:
            break
        clock, number, name = free[0]
        # The same batch leads until one of its tasks has taken its last step: all steps up to there are served at once.
        times = min(task.steps_left for task in batch.tasks) if batch.unit is Unit.DENOISE else 1
        clock += times * scheduler.seconds(name, batch)
        heapq.heapreplace(free, (clock, number, name))
        scheduler.served(name, batch, times)
        if batch.unit is Unit.LOAD_MODEL:
            scheduler.loaded(name, frozenset({batch.tasks[0].model}))
            continue
        _mark_encoded(scheduler, batch)
        for task in batch.tasks:
            if task.done == len(task.units):
                ends[task.id] = clock
            elif task.key is None:
                # The captions' lengths are estimated: the key of another task of this size is the best guess.
                key = keys.setdefault(_size(task), _size(task))
                scheduler.set_key(task, key, task.tokens, task.costs[Unit.DENOISE])
    return ends


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
