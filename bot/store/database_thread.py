"""A thread that does what an event loop hands it, in that order."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[asyncio.Future[Any], Callable[[], Any]]
_Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


class DatabaseThread:
    """Like an executor of one thread, for calls that are short and many: it wakes the loop once for several.

    Waking it costs as much as a short write. So what has been done is told after ``together`` seconds at the latest,
    or as soon as the call ends that is under way then; at once where no other call waits.
    """

    def __init__(self, name: str, together: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._together = together
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._stopped = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """The function's result, or its exception. Whose caller stops waiting before its turn is left out."""
        if self._stopped:
            raise RuntimeError("the worker has been stopped")
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((future, function))
        return future

    def stop(self) -> None:
        """End the thread after what it has been handed."""
        self._stopped = True
        self._calls.put(None)

    def _work(self) -> None:
        call = self._calls.get()
        while call is not None:
            outcomes, end = [_outcome(*call)], time.monotonic() + self._together
            while (call := self._next()) is not None and time.monotonic() < end:
                outcomes.append(_outcome(*call))
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_tell, outcomes)
            call = call or self._calls.get()

    def _next(self) -> _Call | None:
        """What waits already, None where nothing does or the end was asked for."""
        try:
            call = self._calls.get_nowait()
        except Empty:
            return None
        if call is None:
            self._calls.put(None)  # seen again when everything has been told
        return call


def _outcome(future: asyncio.Future[Any], function: Callable[[], Any]) -> _Outcome:
    if future.cancelled():
        return future, None, None
    try:
        return future, function(), None
    except StopIteration as error:  # no future takes one
        return future, None, RuntimeError(f"a call ended in {error!r}")
    except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
        return future, None, error


def _tell(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # nobody waits any more
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
