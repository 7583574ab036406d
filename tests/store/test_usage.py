"""Usage: the sums by day against the ledger, reports against the sums, and query plans."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import ledger_rows
from bot.store import accounts, jobs, privacy, usage
from bot.store.accounts import DAY
from bot.store.database import Database
from bot.store.usage import BYS, Days, Share, Used
from tests.helpers import job_ends
from tests.helpers.databases import add_database

HERE, ELSEWHERE = 6, 7
ALWAYS = Days(0, 10_000)
KINDS = ("imagine", "edit", "vary", "again")
RECOMPUTED = """
    SELECT ledger.scope_id, ledger.at / 86400 AS day, ledger.account_id, channel_id, kind, count(*) AS jobs,
        sum((SELECT count(*) FROM images WHERE job_id = jobs.id AND images.state IN ('rendered', 'deleted'))) AS images,
        sum(ledger.credits) AS credits, sum(ledger.device_ms) AS device_ms
    FROM ledger JOIN jobs ON jobs.id = job_id WHERE entry = 'settled' GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""


def run_job(
    connection: sqlite3.Connection,
    event_id: int,
    *,
    owner: int = 5,
    scope: int = HERE,
    channel: int = 8,
    kind: str = "imagine",
    end: str = "delivered",
    images: int = 1,
    spent: int = 100,
    device_ms: int = 300,
    now: int = 10,
) -> None:
    """Insert a job and end it, with ``spent`` credits of a price of 100 an image."""
    names = tuple((f"{event_id}-{position}", position) for position in range(images))
    new = jobs.NewJob(
        event_id, owner, scope, scope or None, channel, "public", kind, "{}", 100 * images, names, "n", None, now
    )
    job_id = jobs.insert(connection, new)
    assert job_id is not None
    if end == "never_started":
        job_ends.ended(connection, job_id, "cancelled", error_code=None, spent=0, now=now)
        return
    jobs.started(connection, job_id, now)
    for position in range(images):
        state = "rendered" if end == "delivered" or position == 0 else "failed"
        job_ends.image_ended(connection, job_id, position, state, f"{event_id}.png", device_ms)
    if end != "delivered":
        job_ends.ended(connection, job_id, end, error_code="x", spent=spent, now=now)  # type: ignore[arg-type]
        return
    jobs.rendered(connection, job_id, now)
    jobs.delivering(connection, job_id)
    job_ends.delivered(connection, job_id, channel, event_id, spent, now)


def run_many(connection: sqlite3.Connection, seed: int, count: int) -> None:
    chance = random.Random(seed)
    for event_id in range(count):
        images = chance.randint(1, 4)
        run_job(
            connection,
            event_id,
            owner=chance.randint(1, 6),
            scope=chance.choice((HERE, HERE, ELSEWHERE, 0)),
            channel=chance.randint(20, 24),
            kind=chance.choice(KINDS),
            end=chance.choice(("delivered", "delivered", "failed", "cancelled", "never_started")),
            images=images,
            spent=chance.randint(0, 100 * images),
            device_ms=chance.randint(0, 9000),
            now=chance.randint(0, 8 * DAY),
        )
        if chance.random() < 0.05:
            accounts.close_account(connection, chance.randint(1, 6), 0)
        if chance.random() < 0.02:
            accounts.unlink_closed(connection, DAY)


def total(shares: list[Share]) -> Used:
    return sum((share.used for share in shares), Used())


async def test_the_rollup_is_what_the_ledger_and_the_jobs_come_to(database: Database) -> None:
    await database.write(partial(run_many, seed=1, count=400))
    kept = await database.query(
        "SELECT scope_id, day, account_id, channel_id, kind, jobs, images, credits, device_ms FROM usage_days"
        " ORDER BY 1, 2, 3, 4, 5"
    )
    assert [tuple(row) for row in kept] == [tuple(row) for row in await database.query(RECOMPUTED)]
    assert len(kept) < 400, "some were added to a row that was there"
    assert sum(row["jobs"] for row in kept) == 400, "jobs that cost nothing count, too"


async def test_jobs_of_one_day_add_up(database: Database) -> None:
    for event_id, spent in enumerate((100, 30, 0)):
        await database.write(partial(run_job, event_id=event_id, spent=spent, now=5 * DAY + event_id))
    shares = await usage.shares(database, HERE, ALWAYS, "day")
    assert shares == [Share(5, Used(jobs=3, images=3, credits=130, device_ms=900))]


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), first=st.integers(0, 9), length=st.integers(0, 9))
def test_every_way_of_sharing_out_comes_to_the_same_exact_sum(
    tmp_path_factory: pytest.TempPathFactory, seed: int, first: int, length: int
) -> None:
    async def live() -> None:
        database = await Database.open(add_database(tmp_path_factory.mktemp("sums") / "bot.sqlite3"))
        await database.write(partial(run_many, seed=seed, count=60))
        days = Days(first, first + length)
        for member in (None, 3):
            (row,) = await database.query(
                "SELECT count(*), sum(ledger.credits), sum(ledger.device_ms) FROM ledger"
                " JOIN accounts ON accounts.id = account_id WHERE entry = 'settled' AND scope_id = ?1"
                " AND at >= ?2 AND at < ?3 AND (?4 IS NULL OR member_id = ?4)",
                (HERE, first * DAY, (first + length + 1) * DAY, member),
            )
            for by in BYS:
                used = total(await usage.shares(database, HERE, days, by, member))
                assert (used.jobs, used.credits, used.device_ms) == tuple(value or 0 for value in row)
        await database.close()

    asyncio.run(live())


async def test_shares_come_largest_first_and_days_in_order(database: Database) -> None:
    for event_id, (owner, channel, kind, spent, day) in enumerate(
        ((1, 21, "edit", 10, 9), (2, 22, "imagine", 90, 2), (3, 23, "vary", 40, 4))
    ):
        job = partial(run_job, event_id=event_id, owner=owner, channel=channel, kind=kind, spent=spent, now=day * DAY)
        await database.write(job)
    keys = {by: [share.key for share in await usage.shares(database, HERE, ALWAYS, by)] for by in BYS}
    assert keys == {
        "day": [2, 4, 9],
        "user": [2, 3, 1],
        "channel": [22, 23, 21],
        "kind": ["imagine", "vary", "edit"],
    }


async def test_days_are_counted_to_their_last_second_and_no_further(database: Database) -> None:
    for event_id, now in enumerate((5 * DAY - 1, 5 * DAY, 7 * DAY - 1, 7 * DAY)):
        await database.write(partial(run_job, event_id=event_id, now=now))
    days = Days.until(7 * DAY - 1, 2)
    assert days == Days(5, 6)
    assert [share.key for share in await usage.shares(database, HERE, days, "day")] == [5, 6]


async def test_both_accounts_of_a_member_are_one_and_forgotten_ones_are_nobody_s(database: Database) -> None:
    def closed_and_back(connection: sqlite3.Connection) -> None:
        for event_id, owner in enumerate((1, 2, 3)):
            run_job(connection, event_id, owner=owner, spent=10)
        for owner in (1, 2):
            privacy.forget_member(connection, owner, 10)
        run_job(connection, 9, owner=1, spent=50)

    await database.write(closed_and_back)
    shares = await usage.shares(database, HERE, ALWAYS, "user")
    assert [(share.key, share.used.credits) for share in shares] == [(1, 60), (2, 10), (3, 10)]
    assert total(await usage.shares(database, HERE, ALWAYS, "day", 1)).credits == 60
    await database.write(partial(accounts.unlink_closed, now=10 + DAY))
    shares = await usage.shares(database, HERE, ALWAYS, "user")
    assert [(share.key, share.used.credits) for share in shares] == [(1, 50), (None, 20), (3, 10)]
    assert (await usage.used_everywhere(database, 1, ALWAYS)).credits == 50
    assert await usage.used_everywhere(database, 2, ALWAYS) == Used()


async def test_a_server_s_usage_is_that_server_s_alone(database: Database) -> None:
    for event_id, (scope, spent) in enumerate(((HERE, 10), (ELSEWHERE, 40), (0, 50))):
        await database.write(partial(run_job, event_id=event_id, scope=scope, spent=spent))
    for scope, spent in ((HERE, 10), (ELSEWHERE, 40), (0, 50), (99, 0)):
        for by in BYS:
            for member in (None, 5):
                assert total(await usage.shares(database, scope, ALWAYS, by, member)).credits == spent
    assert (await usage.used_everywhere(database, 5, ALWAYS)).credits == 100


async def test_no_report_reads_a_whole_table(tmp_path: Path) -> None:
    """Query plans on a busy server, since they depend on the data."""
    path = tmp_path / "bot.sqlite3"
    ledger_rows.fill(path, jobs=3_000)
    database = await Database.open(path)
    asked: list[tuple[str, tuple[object, ...]]] = []
    read = database.query

    async def noted(sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        asked.append((sql, parameters))
        return await read(sql, parameters)

    database.query = noted  # type: ignore[method-assign]
    days = Days.until(ledger_rows.END - 1, 90)
    for analysed in (False, True):
        if analysed:
            await database.write(lambda connection: connection.execute("ANALYZE"))
        asked.clear()
        for member in (None, ledger_rows.MEMBER):
            for by in BYS:
                assert await usage.shares(database, ledger_rows.SCOPE, days, by, member)
        assert (await usage.used_everywhere(database, ledger_rows.MEMBER, days)).jobs
        assert len(asked) == 2 * len(BYS) + 1
        for sql, parameters in asked:
            plan = [row["detail"] for row in await read(f"EXPLAIN QUERY PLAN {sql}", parameters)]
            assert any(step.startswith("SEARCH usage_days") for step in plan), plan
            assert not [step for step in plan if step.startswith("SCAN") and step.split()[1] in TABLES], plan
            assert ("member_id = ?" in sql) == any("usage_days_by_account" in step for step in plan), plan
    await database.close()


TABLES = ("usage_days", "ledger", "jobs", "images", "accounts")


async def test_the_benchmark_s_rows_are_what_the_bot_would_have_written(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    ledger_rows.fill(path, jobs=500)
    database = await Database.open(path)
    (row,) = await database.query(
        "SELECT (SELECT count(*) FROM ledger) AS entries, (SELECT sum(credits) FROM usage_days) AS used,"
        " (SELECT sum(credits) FROM ledger WHERE entry = 'settled') AS settled,"
        " (SELECT sum(jobs) FROM usage_days) AS jobs, (SELECT sum(count) FROM jobs) AS images,"
        " (SELECT sum(images) FROM usage_days) AS counted"
    )
    assert (row["entries"], row["jobs"]) == (1500, 500)
    assert (row["used"], row["images"]) == (row["settled"], row["counted"])
    assert not await database.query("PRAGMA foreign_key_check")
    (balance,) = await database.query(
        "SELECT max(abs(total)) AS most FROM (SELECT sum(CASE entry WHEN 'reserved' THEN credits ELSE -credits END)"
        " AS total FROM ledger GROUP BY job_id)"
    )
    assert balance["most"] == 0
    await database.close()
