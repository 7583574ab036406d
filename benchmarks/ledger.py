"""What limits cost: jobs taken in by the door against the bare statements, limits resolved, usage read."""

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
from bot.requests.spec import ImageOptions, build_spec
from bot.store import limits, usage
from bot.store.admission import Terms
from bot.store.database import Database, migrate
from bot.store.jobs import ReplyToken
from bot.store.limits import LIMIT_NAMES, LimitName, LimitRow, Requester
from bot.store.usage import BYS, Days
from zimage_engine.device.loading import complete_profile
from zimage_engine.profiles import find_profile

Synchronous = Literal["FULL", "NORMAL"]
Statement = tuple[str, Any]
_JOBS, _AT_ONCE, _MEMBERS, _SERVER = 1000, 50, 250, 60
_OPEN = 100
"""Jobs that are taken in before all of them end, off the clock: a queue is never long."""
_ALL_END = "UPDATE jobs SET state = 'failed'"
_ROLES = tuple(range(21, 41))
_PROFILE = complete_profile(find_profile("demo"))
_VALUES: dict[LimitName, int | None] = {
    "credits_per_day": 5000,
    "concurrent_jobs": 3,
    "queued_jobs": 10,
    "max_pixels": 4096**2,
    "max_count": 4,
}
_TERMS = Terms(_VALUES, _VALUES)


async def admitting(rounds: int) -> list[Row]:
    """A thousand jobs of 250 members through the door, one after another and 50 at a time, against their statements
    in a plain loop; with the disk in the way (FULL, which the bot uses) and without (NORMAL). One after another, what
    is lost is mostly the way to the writer's thread and back."""
    gc.collect()
    gc.freeze()  # what else is in memory costs either way the same, at random
    with _template() as template:
        statements = await _recorded(template)
        rows: list[Row] = []
        for synchronous in ("FULL", "NORMAL"):
            one_by_one, many, taken = [], [], []
            for _ in range(rounds):
                bare = await asyncio.to_thread(_replay, template, statements, synchronous)
                alone = await _admit(template, synchronous, at_once=1)
                one_by_one.append(bare / alone)
                taken.append((_JOBS / bare, _JOBS / alone))
                many.append(bare / await _admit(template, synchronous, at_once=_AT_ONCE))
            bare_rate, rate = (statistics.median(each) for each in zip(*taken, strict=True))
            name = f"reserve+insert ÷ bare sqlite3, {synchronous}"
            rows += [
                Row(
                    f"{name} ({rate:,.0f} of {bare_rate:,.0f} jobs/s)",
                    statistics.median(one_by_one),
                    "",
                    0.6,
                    None,
                    "≥",
                ),
                Row(f"the same, {_AT_ONCE} at a time", statistics.median(many), "", 0.6, None, "≥"),
            ]
        return rows


def resolving() -> list[Row]:
    """What holds for a member with 20 roles, all limits set for each, for the member and for everyone."""
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
    """``/admin usage`` of a server with a million rows in its ledger: all of its 120 days, by each key; the slowest."""
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
    """Seconds for all orders through the door."""
    with _copied(template) as path:
        database = await Database.open(path)
        await _on_writer(database, f"PRAGMA synchronous = {synchronous}")
        seconds = await _through_door(database, at_once)
        await database.close()
        return seconds


async def _through_door(database: Database, at_once: int) -> float:
    admission, requests, seconds = Admission(database, _PROFILE, _TERMS), _requests(), 0.0

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
    """Notes what it executes."""

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
    """Everything that the door has SQLite do for the orders, in order."""
    with _copied(template) as path:
        database = await Database.open(path)
        recorder = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Recorder)
        recorder.row_factory = sqlite3.Row
        own, database._connection = database._connection, recorder  # noqa: SLF001 - nothing else needs to change it
        await _through_door(database, at_once=1)
        database._connection = own  # noqa: SLF001
        await database.close()
        recorder.close()
        return recorder.statements


def _replay(template: Path, statements: list[Statement], synchronous: Synchronous) -> float:
    """Seconds for the statements in a plain loop, each with its rows read."""
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


@contextmanager
def _template() -> Iterator[Path]:
    """A server with a limit for a role, and no jobs yet."""
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
    """Outside of any transaction."""
    writer, connection = database._writer, database._connection  # noqa: SLF001 - the product has no use for this
    await writer.run(partial(connection.execute, statement))
