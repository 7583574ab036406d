"""The database's threads run calls in order and set every future."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest

from bot.store.database_thread import DatabaseThread


@pytest.mark.parametrize("wake_interval", [0.0, 0.005, 60.0])
async def test_calls_are_done_in_order_and_each_result_is_told(wake_interval: float) -> None:
    worker, done = DatabaseThread("test", wake_interval), []

    def note(number: int) -> int:
        done.append(number)
        if number % 10 == 3:
            raise ValueError(number)
        return number

    results = await asyncio.gather(*(worker.run(partial(note, i)) for i in range(500)), return_exceptions=True)
    assert done == list(range(500))
    assert [str(result) for result in results] == [str(i) for i in range(500)]
    assert sum(isinstance(result, ValueError) for result in results) == 50
    worker.stop()


async def test_who_waits_alone_is_told_at_once() -> None:
    worker = DatabaseThread("test", wake_interval=60.0)
    assert await asyncio.wait_for(worker.run(lambda: 7), timeout=10) == 7
    worker.stop()


async def test_outcomes_are_not_held_back_for_long() -> None:
    worker = DatabaseThread("test", wake_interval=0.02)
    first = worker.run(lambda: 1)
    rest = [worker.run(partial(time.sleep, 0.01)) for _ in range(500)]
    await first
    assert not rest[-1].done()
    for call in rest:
        call.cancel()
    worker.stop()


async def test_who_stops_waiting_before_their_turn_is_left_out() -> None:
    worker, gate, done = DatabaseThread("test"), threading.Event(), []
    held = worker.run(partial(gate.wait, 10))
    dropped = worker.run(partial(done.append, "dropped"))
    kept = worker.run(partial(done.append, "kept"))
    dropped.cancel()
    gate.set()
    await asyncio.gather(held, kept)
    assert done == ["kept"]
    worker.stop()


async def test_what_was_handed_over_is_done_before_the_end_and_nothing_after() -> None:
    worker, done = DatabaseThread("test", wake_interval=0.005), []
    calls = [worker.run(partial(done.append, i)) for i in range(50)]
    worker.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        worker.run(partial(done.append, 99))
    await asyncio.gather(*calls)
    assert done == list(range(50))


async def test_a_call_that_no_future_can_carry_holds_nobody_up() -> None:
    worker = DatabaseThread("test", wake_interval=60.0)
    results = await asyncio.gather(worker.run(lambda: next(iter(()))), worker.run(lambda: 1), return_exceptions=True)
    assert isinstance(results[0], RuntimeError)
    assert results[1] == 1
    worker.stop()
