"""Benchmarks of the limits: admitting jobs compared with the bare statements, resolving limits, reading usage."""

from __future__ import annotations

import asyncio
import gc
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from benchmarks import ledger_rows
from benchmarks.rows import Row
from bot.jobs.admission import Admission
from bot.jobs.job import JobRequest
from bot.requests.models import Models
from bot.requests.pricing import Prices
from bot.requests.spec import ImageOptions, build_spec
from bot.store import limits, usage
from bot.store.admission import Terms
from bot.store.database import Database, migrate
from bot.store.limits import LIMIT_NAMES, LimitName, LimitRow, Requester
from bot.store.reply_tokens import ReplyToken
from bot.store.usage import BYS, Days
from zimage_engine.catalog import find_profile
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.weights import complete_profile

Synchronous = Literal["FULL", "NORMAL"]
Statement = tuple[str, Any]
_JOBS, _CONCURRENCY, _MEMBERS, _SERVER = 1000, 50, 250, 60
_OPEN = 100
"""Jobs that are admitted before all open ones are ended, which is not timed: real queues are short."""
_ALL_END = "UPDATE jobs SET state = 'failed'"
_ROLES = tuple(range(21, 41))
_PROFILE = complete_profile(find_profile("demo"))
_VALUES: dict[LimitName, int | None] = {
    **dict.fromkeys(LIMIT_NAMES),
    "credits_per_day": 5000,
    "concurrent_jobs": 3,
    "queued_jobs": 10,
    "max_pixels": 4096**2,
    "max_count": 4,
}
_TERMS = Terms(_VALUES, _VALUES)


async def admitting(rounds: int) -> list[Row]:
    """Compare admitting 1,000 jobs of 250 members, one at a time and 50 at a time, with their statements in a loop.

    Measured with ``synchronous = FULL``, which the bot uses, and ``NORMAL``, which does not wait for the disk. The
    floor is the same statements by way of the writer's thread, with nothing else done for them.
    """
    gc.collect()
    gc.freeze()  # collections of unrelated objects would add noise
    with _template() as template:
        statements = await _recorded(template)
        rows: list[Row] = []
        for synchronous in ("FULL", "NORMAL"):
            one_by_one, many, taken, floors = [], [], [], []
            for _ in range(rounds):
                bare = await asyncio.to_thread(_replay, template, statements, synchronous)
                floors.append(bare / await _hand_over(template, statements, synchronous))
                alone = await _admit(template, synchronous, at_once=1)
                one_by_one.append(bare / alone)
                taken.append((_JOBS / bare, _JOBS / alone))
                many.append(bare / await _admit(template, synchronous, at_once=_CONCURRENCY))
            bare_rate, rate = (statistics.median(each) for each in zip(*taken, strict=True))
            name = f"reserve+insert ÷ bare sqlite3, {synchronous}"
            rows += [
                Row(
                    f"{name} ({rate:,.0f} of {bare_rate:,.0f} jobs/s)",
                    statistics.median(one_by_one),
                    "",
                    0.6,
                    statistics.median(floors),
                    "≥",
                ),
                Row(f"the same, {_CONCURRENCY} at a time", statistics.median(many), "", 0.6, None, "≥"),
            ]
        return rows


async def admitted_per_second(at_once: int) -> float:
    """Return how many jobs are admitted in a second, ``at_once`` at a time, each flushed to the disk."""
    with _template() as template:
        return _JOBS / await _admit(template, "FULL", at_once)


def resolving() -> list[Row]:
    """Measure resolving the limits of a member with 20 roles, with all limits set for each target."""
    with _template() as template, closing(_connect(template, "NORMAL")) as connection:
        targets = [("everyone", 0), ("user", 1), *(("role", role) for role in _ROLES)]
        for target, target_id in targets:
            for number, name in enumerate(LIMIT_NAMES):
                row = LimitRow(target, target_id, name, target_id + number)  # type: ignore[arg-type]
                limits.write_limit(connection, _SERVER, row)
        requester = Requester(1, _SERVER, _SERVER, _ROLES)
        times = []
        for _ in range(500):
            began = time.perf_counter()
            limits.resolve(connection, requester, _VALUES, 0)
            times.append(1000 * (time.perf_counter() - began))
    return [Row("limits of a member with 20 roles", statistics.median(times), "ms", 1.0)]


async def reporting(rounds: int) -> list[Row]:
    """Measure the slowest report of ``/admin usage`` over 120 days of a server with a million rows in its ledger."""
    with tempfile.TemporaryDirectory(prefix="zimage-bench-") as folder:
        path = Path(folder) / "bot.sqlite3"
        await asyncio.to_thread(ledger_rows.fill, path)
        database = await Database.open(path)
        days = Days.until(ledger_rows.END - 1, ledger_rows.DAYS)
        slowest = []
        for _ in range(rounds):
            times = []
            for by in BYS:
                began = time.perf_counter()
                await usage.shares(database, ledger_rows.SCOPE, days, by)
                times.append(1000 * (time.perf_counter() - began))
            slowest.append(max(times))
        await database.close()
    return [Row("usage over 1,000,000 rows of the ledger", statistics.median(slowest), "ms", 300.0)]


def _requests() -> list[JobRequest]:
    spec, count = build_spec(ImageOptions("a red circle on a blue background", seed=1), _PROFILE, max_count=4)
    return [
        JobRequest(
            number,
            spec,
            count,
            Requester(1 + number % _MEMBERS, _SERVER, _SERVER, _ROLES[:3], (71, 72)),
            71,
            "public",
            ReplyToken(1, "t" * 200, 2_000_000_000),
        )
        for number in range(1, _JOBS + 1)
    ]


async def _admit(template: Path, synchronous: Synchronous, at_once: int) -> float:
    """Return the seconds that it takes to admit all jobs."""
    with _copied(template) as path:
        database = await Database.open(path)
        await _on_writer(database, f"PRAGMA synchronous = {synchronous}")
        seconds = await _admit_all(database, at_once)
        await database.close()
        return seconds


async def _admit_all(database: Database, at_once: int) -> float:
    prices = Prices(Models((_PROFILE,)), PromptTokens.load(_PROFILE))
    admission, requests, seconds = Admission(database, prices, _TERMS), _requests(), 0.0

    async def feed(waiting: Iterator[JobRequest]) -> None:
        for request in waiting:
            assert await admission.insert(request) is not None

    for first in range(0, _JOBS, _OPEN):
        waiting = iter(requests[first : first + _OPEN])
        began = time.perf_counter()
        await asyncio.gather(*(feed(waiting) for _ in range(at_once)))
        seconds += time.perf_counter() - began
        await _on_writer(database, _ALL_END)
    return seconds


class _Recorder(sqlite3.Connection):
    """A connection that records the statements that it executes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.statements: list[Statement] = []

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.statements.append((sql, parameters))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        rows = list(parameters)
        self.statements += [(sql, row) for row in rows]
        return super().executemany(sql, rows)

    def commit(self) -> None:
        self.statements.append(("COMMIT", ()))
        super().commit()


async def _recorded(template: Path) -> list[Statement]:
    """Return all statements that admitting the jobs executes, in order."""
    with _copied(template) as path:
        database = await Database.open(path)
        recorder = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Recorder)
        recorder.row_factory = sqlite3.Row
        own, database._write_connection = database._write_connection, recorder  # noqa: SLF001 - not public
        await _admit_all(database, at_once=1)
        database._write_connection = own  # noqa: SLF001
        await database.close()
        recorder.close()
        return recorder.statements


def _replay(template: Path, statements: list[Statement], synchronous: Synchronous) -> float:
    """Return the seconds that the statements take in a loop that reads all their rows."""
    with _copied(template) as path, closing(_connect(path, synchronous)) as connection:
        seconds, began = 0.0, time.perf_counter()
        for sql, parameters in statements:
            if sql == _ALL_END:
                seconds += time.perf_counter() - began
            connection.execute(sql, parameters).fetchall()
            if sql == _ALL_END:
                began = time.perf_counter()
        assert connection.execute("SELECT count(*) FROM ledger").fetchone()[0] == _JOBS
        return seconds


async def _hand_over(template: Path, statements: list[Statement], synchronous: Synchronous) -> float:
    """Return the seconds that the statements take if each job's are one transaction on the writer's thread."""
    transaction: list[Statement] = []
    with _copied(template) as path:
        database = await Database.open(path)
        await _on_writer(database, f"PRAGMA synchronous = {synchronous}")
        seconds, began = 0.0, time.perf_counter()
        for sql, parameters in statements:
            if sql == _ALL_END:
                seconds += time.perf_counter() - began
                await _on_writer(database, sql)
                began = time.perf_counter()
            elif sql == "COMMIT":
                await database.write(partial(_execute, statements=transaction))
                transaction = []
            elif sql != "BEGIN IMMEDIATE":
                transaction.append((sql, parameters))
        await database.close()
        return seconds


def _execute(connection: sqlite3.Connection, statements: list[Statement]) -> None:
    for sql, parameters in statements:
        connection.execute(sql, parameters).fetchall()


@contextmanager
def _template() -> Iterator[Path]:
    """Yield the path of a database with a limit for a role and no jobs."""
    with tempfile.TemporaryDirectory(prefix="zimage-bench-") as folder:
        path = Path(folder) / "bot.sqlite3"
        migrate(path)
        with closing(_connect(path, "FULL")) as connection:
            limits.write_limit(connection, _SERVER, LimitRow("role", _ROLES[1], "credits_per_day", 100_000))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield path


@contextmanager
def _copied(template: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zimage-bench-") as folder:
        yield Path(shutil.copy(template, folder))


def _connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


async def _on_writer(database: Database, statement: str) -> None:
    """Execute a statement on the writer's thread, outside any transaction."""
    writer, connection = database._write_thread, database._write_connection  # noqa: SLF001 - not public
    await writer.run(partial(connection.execute, statement))
