"""Tells requests that wait their positions and expected times. Free of torch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from zimage_engine.scheduling.expected_times import expected_ends
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published
from zimage_engine.types import Queued

log = logging.getLogger(__name__)

_TASKS_MAX = 200
"""How many tasks are copied: about as many as end within the batches that are run forward."""
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
        ends = expected_ends(snapshot)
        told = {name: Queued(position, end) for position, (name, end) in enumerate(ends.items())}
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
