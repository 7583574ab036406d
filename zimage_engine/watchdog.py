"""A unit that hangs cannot be stopped in this process, but nobody need wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class Watchdog:
    """A thread that calls ``hangs`` once, when one unit has run for longer than ``limit`` seconds."""

    def __init__(self, limit: float, hangs: Callable[[], None]) -> None:
        self._limit = limit
        self._hangs = hangs
        self._began: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="zimage-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()

    def unit_begins(self) -> None:
        self._began = time.monotonic()

    def idle(self) -> None:
        """No unit is running."""
        self._began = None

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            began = self._began
            if began is not None and time.monotonic() - began > self._limit:
                log.error("the device hangs: a unit has run for more than %s s", self._limit)
                self._hangs()
                return
