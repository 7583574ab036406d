"""Delivers what happens in the driver's thread to the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from zimage_engine.handle import Handle
from zimage_engine.scheduling.request_states import Published
from zimage_engine.types import Cancelled, EngineError, Failed, Finished

log = logging.getLogger(__name__)


class Publisher:
    """The handles of the requests that have not ended, and two futures; created inside the running event loop.

    ``loaded`` ends when the model is loaded or cannot be loaded, ``lost`` when the device is lost. Await them shielded:
    several callers share them. :meth:`set_loaded` and :meth:`set_lost` may be called from any thread and more than
    once; only the first call counts.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: dict[str, Handle] = {}
        self.loaded: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[EngineError] = self._loop.create_future()

    def add(self, handle: Handle) -> None:
        """Deliver the events of the handle's request to it from now on, up to the terminal one."""
        self._handles[handle.request.id] = handle

    def publish(self, events: Published) -> None:
        """Deliver events by request id. Called with the engine's lock held, so that they arrive in order."""
        for request_id, event in events:
            handle = self._handles[request_id]
            if isinstance(event, Finished | Failed | Cancelled):
                del self._handles[request_id]
            self._call(partial(handle.deliver, event))

    def set_loaded(self, failure: EngineError | None = None) -> None:
        """End ``loaded``, with an exception if there is a ``failure``."""
        self._call(partial(self._end_loaded, failure))

    def set_lost(self, error: EngineError) -> None:
        """End ``lost`` with the error that every request ends with."""
        self._call(partial(self._end_lost, error))

    def _end_loaded(self, failure: EngineError | None) -> None:
        if self.loaded.done():
            return
        if failure is None:
            self.loaded.set_result(None)
        else:
            self.loaded.set_exception(failure)
            self.loaded.exception()  # marks it as retrieved: asyncio would warn if nobody awaited it

    def _end_lost(self, error: EngineError) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            log.debug("event loop closed; an event was dropped")
