"""One request seen from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from zimage_engine.types import Cancelled, Event, Failed, Finished, ImageRequest, Progress, Terminal


class Handle:
    """One request seen from the event loop: the latest progress, then exactly one terminal event.

    Iterate it once: progress that was overtaken is skipped, and the iterator ends after the terminal event.
    """

    def __init__(self, request: ImageRequest, cancel: Callable[[str], None]) -> None:
        self.request = request
        self._cancel = cancel
        self._progress: Progress | None = None
        self._terminal: Terminal | None = None
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True once the terminal event has come."""
        return self._terminal is not None

    def cancel(self) -> None:
        """Stop at the end of the unit that is running; a no-op once the request has ended."""
        if self._terminal is None:
            self._cancel(self.request.id)

    def deliver(self, event: Event) -> None:
        """Called on the event loop by the engine."""
        if isinstance(event, Finished | Failed | Cancelled):
            self._terminal = self._terminal or event
        else:
            self._progress = event
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            progress, self._progress = self._progress, None
            if progress is not None and self._terminal is None:
                yield progress
            if self._terminal is not None:
                self._changed.set()
                yield self._terminal
                return

    async def result(self) -> Finished:
        """Wait for the picture; raises the request's :class:`EngineError`, or ``CancelledError`` where cancelled."""
        terminal: Event | None = None
        async for event in self:
            terminal = event
        if isinstance(terminal, Finished):
            return terminal
        if isinstance(terminal, Failed):
            raise terminal.error
        raise asyncio.CancelledError
