"""Measures how late the event loop is, as far as the process itself is the cause.

Machines are busy at times: while another process has the core, the loop is late without any fault of the program. So
a delay counts only as far as the process computed meanwhile: the smaller one of the time that passed and of the time
that the processor spent on all threads of the process. A thread that holds the interpreter's lock computes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

LAG_MAX = 0.05
"""Seconds that no command may hold up the event loop for."""
_SLEEP = 0.005


@contextmanager
def own_seconds() -> Iterator[Callable[[], float]]:
    """Yield a function that returns how long the block has taken, as far as the process itself is the cause."""
    begun, computed = time.perf_counter(), time.process_time()
    yield lambda: min(time.perf_counter() - begun, time.process_time() - computed)


async def longest_lag(work: Awaitable[T]) -> tuple[T, float]:
    """Await ``work``. Returns its result, and the most seconds that the event loop was late meanwhile."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        begun, computed = time.perf_counter(), time.process_time()
        await asyncio.sleep(_SLEEP)
        late, computing = time.perf_counter() - begun - _SLEEP, time.process_time() - computed
        longest = max(longest, min(late, computing))
    return await task, longest
