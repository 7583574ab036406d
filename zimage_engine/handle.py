"""The handle of a submitted request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from zimage_engine.types import Cancelled, Event, Failed, Finished, ImageRequest, Progress, Terminal


class Handle:
    """A submitted request. Iterate over it with ``async for``: progress, then exactly one terminal event, the last.

    Progress is :class:`Queued` or :class:`Step`; whoever is slow gets the newest and misses what was before it. The
    terminal event is :class:`Finished`, :class:`Failed` or :class:`Cancelled`. Iterate over a handle once, or await its
    :meth:`result` if progress does not matter. ``request`` is what was submitted.
    """

    def __init__(self, request: ImageRequest, cancel: Callable[[str], None]) -> None:
        self.request = request
        self._cancel = cancel
        self._progress: Progress | None = None
        self._terminal: Terminal | None = None
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True after the terminal event."""
        return self._terminal is not None

    def cancel(self) -> None:
        """End the request when the unit that is running ends, so that its last event is :class:`Cancelled`.

        Does nothing if the request has ended.
        """
        if self._terminal is None:
            self._cancel(self.request.id)

    def deliver(self, event: Event) -> None:
        """Take an event in. For the engine, which calls it on the event loop."""
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
        """Wait for the picture and return it.

        Raises the :class:`EngineError` with which the request failed, or ``asyncio.CancelledError`` if the request was
        cancelled.
        """
        terminal: Event | None = None
        async for event in self:
            terminal = event
        if isinstance(terminal, Finished):
            return terminal
        if isinstance(terminal, Failed):
            raise terminal.error
        raise asyncio.CancelledError
