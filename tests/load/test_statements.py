"""No statement that runs while somebody waits reads a whole table that grows with the use of the bot.

Those of ``/usage`` are in ``tests/store/test_usage.py``.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from bot.settings import Settings
from tests.helpers.admins import admin_of
from tests.helpers.pictures import drawn
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from tests.load import large_database

GROWING = ("jobs", "images", "ledger", "usage_days", "accounts", "audit", "uploads", "drafts")
"""Tables that grow with use; the others hold settings, or what is open at the moment."""
OPEN = ("jobs_by_state", "jobs_open", "jobs_due", "accounts_closed")
"""Indexes that may be read whole: those of open jobs, and of accounts that were closed within a day."""
DAILY = {"SELECT source FROM uploads": "housekeeping compares all files of originals with all rows that need one"}
"""Statements that may read a whole table, and why: they only read, once a day, and nobody waits for them."""
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
LITERAL = re.compile(r"'[^']*'|\b\d+\b")


def traced(connect: Callable[..., sqlite3.Connection], found: dict[str, str]) -> Callable[..., sqlite3.Connection]:
    """Return ``connect`` with its connections' statements noted in ``found``: one example each, by its text without
    values."""

    def note(statement: str) -> None:
        if STATEMENT.match(statement) and "_yoyo" not in statement and "sqlite_" not in statement:
            found.setdefault(LITERAL.sub("?", statement), statement)

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(note)
        return connection

    return connected


def whole_tables(connection: sqlite3.Connection, statement: str) -> list[str]:
    """Return the steps of a statement's plan that read one of the growing tables from its beginning to its end."""
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    scans = [step for step in steps if step.startswith("SCAN ") and step.split()[-1] not in OPEN]
    return [step for step in scans if _table(statement, step.split()[1]) in GROWING]


def _table(statement: str, name: str) -> str:
    """Return the table that a name in a plan stands for: the name, unless the statement calls a table so."""
    alias = re.search(rf"\b(\w+)\s+AS\s+{name}\b", statement, re.IGNORECASE)
    return alias[1] if alias and name not in GROWING else name


async def test_no_statement_of_a_request_or_of_the_start_reads_a_whole_table(
    world_of: OpenWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.data_dir.mkdir()
    large_database.fill(settings.database_path, 2_000, int(time.time()), members=300, servers=20)
    found: dict[str, str] = {}
    monkeypatch.setattr(sqlite3, "connect", traced(sqlite3.connect, found))
    async with world_of(
        credits_per_day=50.0, ceiling_credits_per_user=500.0, ceiling_credits_per_server=5000.0
    ) as world:
        result = await drawn(world)
        await world.member.click(result, label="Again")
        for command in ("quota", "queue", "tree"):
            await world.member.slash(world.channel, command)
            await world.env.advance_time(3)
        await admin_of(world).slash(world.channel, "admin audit")
        await world.env.bot.jobs.check()
        await until(lambda: not world.env.bot.jobs.under_way)
    assert len(found) > 60, "the statements are not seen any more"
    with closing(sqlite3.connect(settings.database_path)) as connection:
        for table in GROWING[:3]:
            assert whole_tables(connection, f"SELECT * FROM {table}"), "plans are not read any more"
        slow = {statement: steps for statement in found.values() if (steps := whole_tables(connection, statement))}
    assert {statement: steps for statement, steps in slow.items() if statement not in DAILY} == {}
