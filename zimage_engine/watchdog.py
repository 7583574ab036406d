"""Notices work on the device that takes far longer than it should."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_CHECK_SECONDS = 1.0


class Watchdog:
    """A thread that calls ``on_hang`` when what it was told has begun has not ended within its limit."""

    def __init__(self, on_hang: Callable[[], None]) -> None:
        self._on_hang = on_hang
        self._deadline: tuple[float, str, float] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="zimage-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def begins(self, what: str, limit: float) -> None:
        """Expect the end of ``what`` within ``limit`` seconds from now; replaces what was expected before."""
        self._deadline = (time.monotonic() + limit, what, limit)

    def idle(self) -> None:
        """Expect nothing."""
        self._deadline = None

    def _watch(self) -> None:
        while not self._stopped.wait(_CHECK_SECONDS):
            deadline = self._deadline
            # A unit that has ended just now has replaced it.
            if deadline is not None and time.monotonic() > deadline[0] and deadline is self._deadline:
                self.idle()
                log.error("the device hangs: no end of “%s” within %.0f s", deadline[1], deadline[2])
                self._on_hang()
