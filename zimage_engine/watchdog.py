"""Notices work on the device that takes far longer than it should."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

_CHECK_SECONDS = 1.0


@dataclass(slots=True)
class _Expected:
    """What should end within ``limit`` seconds; ``spent`` of them are over."""

    what: str
    limit: float
    since: float = field(default_factory=time.monotonic)
    spent: float = 0.0


class Watchdog:
    """A thread that calls ``on_hang`` when what it was told has begun has not ended within its limit."""

    def __init__(self, on_hang: Callable[[], None]) -> None:
        self._on_hang = on_hang
        self._expected: _Expected | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="zimage-watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def begins(self, what: str, limit: float) -> None:
        """Expect the end of ``what`` within ``limit`` seconds from now; replaces what was expected before."""
        self._expected = _Expected(what, limit)

    def idle(self) -> None:
        """Expect nothing."""
        self._expected = None

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(_CHECK_SECONDS):
            now, expected = time.monotonic(), self._expected
            if expected is not None:
                # Time in which this process was stopped, too, does not count: it is no fault of the device.
                expected.spent += min(now - max(last, expected.since), 2 * _CHECK_SECONDS)
                # A unit that has ended just now has replaced it.
                if expected.spent > expected.limit and expected is self._expected:
                    self.idle()
                    log.error("the device hangs: no end of “%s” within %.0f s", expected.what, expected.limit)
                    self._on_hang()
            last = now
