"""Writes that wait share a flush of the disk, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from functools import partial
from typing import Any

import pytest

from bot.store.database import Database


def put(connection: sqlite3.Connection, name: str) -> str:
    connection.execute("INSERT INTO facts (name, value) VALUES (?, 'x')", (name,))
    if name.startswith("raise"):
        raise ValueError(name)
    return name


async def held(database: Database, gate: threading.Event) -> asyncio.Task[Any]:
    """Begin a write that waits for the gate."""
    entered = threading.Event()

    def wait(connection: sqlite3.Connection) -> None:
        entered.set()
        gate.wait(10)

    task = asyncio.create_task(database.write(wait))
    await asyncio.to_thread(entered.wait, 10)
    return task


async def names(database: Database) -> set[str]:
    return {row["name"] for row in await database.query("SELECT name FROM facts WHERE value = 'x'")}


async def test_writes_that_wait_are_one_transaction_and_one_that_raises_undoes_only_itself(database: Database) -> None:
    began: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(began.append))
    began.clear()
    gate = threading.Event()
    first = await held(database, gate)
    writes = [asyncio.create_task(database.write(partial(put, name=name))) for name in ("a", "raise b", "c")]
    await asyncio.sleep(0.02)
    gate.set()
    await first
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [str(result) for result in results] == ["a", "raise b", "c"]
    assert isinstance(results[1], ValueError)
    assert await names(database) == {"a", "c"}
    assert began.count("BEGIN IMMEDIATE") == 2, "the one that was held, and those that waited"


async def test_what_fails_as_a_whole_is_tried_one_by_one(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        put(connection, "lost")
        raise sqlite3.OperationalError("disk I/O error")

    gate = threading.Event()
    first = await held(database, gate)
    good, bad = (asyncio.create_task(database.write(each)) for each in (partial(put, name="kept"), fail))
    await asyncio.sleep(0.02)
    gate.set()
    await first
    assert await good == "kept"
    with pytest.raises(sqlite3.OperationalError):
        await bad
    assert await names(database) == {"kept"}


async def test_a_write_that_nobody_waits_for_any_more_is_left_out(database: Database) -> None:
    gate = threading.Event()
    first = await held(database, gate)
    dropped, kept = (asyncio.create_task(database.write(partial(put, name=name))) for name in ("dropped", "kept"))
    await asyncio.sleep(0.02)
    dropped.cancel()
    await asyncio.sleep(0.02)
    gate.set()
    await first
    assert await kept == "kept"
    assert await names(database) == {"kept"}
