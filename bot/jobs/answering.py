"""Requests that are being answered: closing waits for them, and so do deliveries while they are many.

Discord gives up on an interaction that has no answer after three seconds. A result has a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MANY = 8
_PATIENCE_SECONDS = 1.0


class Answering:
    """Counts the requests that are being answered. For the event loop alone."""

    def __init__(self) -> None:
        self._count = 0
        self._none, self._few = asyncio.Event(), asyncio.Event()
        self._none.set()
        self._few.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a request until the end of the block."""
        self._count += 1
        self._none.clear()
        if self._count >= _MANY:
            self._few.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count < _MANY:
                self._few.set()
            if not self._count:
                self._none.set()

    async def give_way(self) -> None:
        """Wait until few requests are being answered; at most a second, so that what waits gets its turn, too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._few.wait()

    async def ended(self, end: float) -> None:
        """Wait until every request is answered, or until the event loop's time is ``end``."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self._none.wait()
