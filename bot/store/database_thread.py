"""A thread that runs the calls of an event loop, in order."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[asyncio.Future[Any], Callable[[], Any]]
_Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


async def to_its_end(work: Awaitable[T]) -> T:
    """Return the result of work in a thread; a caller that is cancelled goes on only when it has ended.

    For work that makes files: left alone, it would make them after whoever was cancelled has cleaned up.
    """
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class DatabaseThread:
    """An executor of one thread for many short calls, which wakes the event loop once for several results.

    Waking the loop costs as much as a short write. Results are handed over as soon as no other call is waiting, or at
    the end of the first call that ends more than ``wake_interval`` seconds after the first result. Must be created
    while the loop runs.
    """

    def __init__(self, name: str, wake_interval: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake_interval = wake_interval
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._stopped = False
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Return a future of the function's result. Skips calls whose future was cancelled before their turn.

        Raises :class:`RuntimeError` after :meth:`stop`.
        """
        if self._stopped:
            raise RuntimeError("the thread has been stopped")
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((future, function))
        return future

    def stop(self) -> None:
        """End the thread after the calls that it has been given."""
        self._stopped = True
        self._calls.put(None)

    def _work(self) -> None:
        call = self._calls.get()
        while call is not None:
            outcomes = [_outcome(*call)]
            wake_at = time.monotonic() + self._wake_interval
            while (call := self._next_waiting()) is not None and time.monotonic() < wake_at:
                outcomes.append(_outcome(*call))
            with suppress(RuntimeError):  # the loop is closed: nobody is waiting
                self._loop.call_soon_threadsafe(_set_outcomes, outcomes)
            call = call or self._calls.get()

    def _next_waiting(self) -> _Call | None:
        """Return the next call without waiting for one; None if there is none or the thread is to end."""
        try:
            call = self._calls.get_nowait()
        except Empty:
            return None
        if call is None:
            self._calls.put(None)  # found again by _work once the results are handed over
        return call


def _outcome(future: asyncio.Future[Any], function: Callable[[], Any]) -> _Outcome:
    """Run the function and return its future with the result or the exception."""
    if future.cancelled():
        return future, None, None
    try:
        return future, function(), None
    except StopIteration as error:  # a future refuses this one
        return future, None, RuntimeError(f"a call ended in {error!r}")
    except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
        return future, None, error


def _set_outcomes(outcomes: list[_Outcome]) -> None:
    """Set the futures' results; called on the event loop."""
    for future, result, error in outcomes:
        if future.done():
            continue  # cancelled meanwhile
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
