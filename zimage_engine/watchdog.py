"""Notices a unit that hangs: it cannot be stopped in this process, but the requests can be ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_CHECK_SECONDS = 1.0


class Watchdog:
    """A thread that calls ``on_hang`` once, when a unit has run for longer than ``limit`` seconds."""

    def __init__(self, limit: float, on_hang: Callable[[], None]) -> None:
        self._limit = limit
        self._on_hang = on_hang
        self._began: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="zimage-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def unit_begins(self) -> None:
        """Start the clock of a unit."""
        self._began = time.monotonic()

    def idle(self) -> None:
        """Stop the clock: no unit is running."""
        self._began = None

    def _watch(self) -> None:
        while not self._stopped.wait(_CHECK_SECONDS):
            began = self._began
            if began is not None and time.monotonic() - began > self._limit:
                log.error("the device hangs: a unit has run for more than %s s", self._limit)
                self._on_hang()
                return
