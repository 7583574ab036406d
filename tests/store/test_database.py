"""The SQLite file: migrations, transactions, states of jobs and their ledger."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import StartupError
from bot.store import jobs, ledger
from bot.store.database import MIGRATIONS, Database, migrate
from bot.store.facts import read_fact, write_fact
from tests.helpers.databases import add_database


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_migrating_a_fresh_file_and_again(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    assert migrate(path) == ["0001_jobs", "0002_editing", "0003_limits"]
    assert {"jobs", "images", "ledger", "facts"} <= tables(path)
    assert migrate(path) == []


def test_a_migration_that_fails_is_rolled_back_whole(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    path = tmp_path / "bot.sqlite3"
    migrate(path, folder)
    (folder / "0002_half.sql").write_text("CREATE TABLE half (id INTEGER);\nCREATE TABLE jobs (id INTEGER);\n")
    with pytest.raises(StartupError, match="failed and was rolled back"):
        migrate(path, folder)
    assert "half" not in tables(path)
    (folder / "0002_half.sql").write_text("CREATE TABLE half (id INTEGER);\n")
    assert migrate(path, folder) == ["0002_half"]


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "0099_future.sql").write_text("CREATE TABLE future (id INTEGER);\n")
    migrate(tmp_path / "bot.sqlite3", newer)
    with pytest.raises(StartupError, match="written by a newer zimage-bot"):
        migrate(tmp_path / "bot.sqlite3")


def test_what_was_used_before_there_were_limits_still_counts(tmp_path: Path) -> None:
    """Rows of a ledger from before the third migration get accounts, and the sums by day are computed from them."""
    folder, path = tmp_path / "migrations", tmp_path / "bot.sqlite3"
    folder.mkdir()
    for name in ("0001_jobs.sql", "0002_editing.sql"):
        shutil.copy(MIGRATIONS / name, folder)
    migrate(path, folder)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO jobs (source_id, owner_id, scope_id, channel_id, visibility, kind, spec, count, credits,"
            " nonce, created_at, state) VALUES (1, 5, 6, 7, 'public', 'edit', '{}', 1, 100, 'n', 86000, 'delivered')"
        )
        connection.execute("INSERT INTO images (id, job_id, position, seed, state) VALUES ('a', 1, 0, 0, 'rendered')")
        for entry, at in (("reserved", 86000), ("settled", 86500)):
            connection.execute(
                "INSERT INTO ledger (job_id, owner_id, scope_id, channel_id, entry, credits, at)"
                " VALUES (1, 5, 6, 7, ?, 100, ?)",
                (entry, at),
            )
    connection.close()
    assert migrate(path)[0] == "0003_limits"
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        assert ledger.used(connection, member_id=5, scope_id=6, now=86600) == 100
        assert [tuple(row) for row in connection.execute("SELECT * FROM usage_days")] == [
            (6, 1, 1, 7, "edit", 1, 1, 100, 0)
        ]
        for change in ("DELETE FROM ledger", "UPDATE ledger SET credits = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)
    connection.close()


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await database.write(half)
    assert await read_fact(database, "a") is None
    await write_fact(database, "a", "2")
    assert await read_fact(database, "a") == "2"


def new_job(source: int = 1, credit: int = 100, images: int = 1) -> jobs.NewJob:
    return jobs.NewJob(
        event_id=source,
        owner_id=5,
        scope_id=6,
        guild_id=6,
        channel_id=7,
        visibility="public",
        kind="imagine",
        spec="{}",
        credits=credit,
        images=tuple((f"{source}-{i}", i) for i in range(images)),
        nonce="n",
        reply=jobs.ReplyToken(1, "secret", 99),
        created_at=10,
    )


async def insert(database: Database, new: jobs.NewJob) -> int:
    job_id = await database.write(partial(jobs.insert, new=new))
    assert job_id is not None
    return job_id


async def balance(database: Database) -> tuple[int, int]:
    """Return the credits that are still reserved and those that are spent, from the ledger."""
    rows = {
        row["entry"]: row["total"]
        for row in await database.query("SELECT entry, sum(credits) AS total FROM ledger GROUP BY entry")
    }
    settled = rows.get("settled", 0)
    return rows.get("reserved", 0) - settled - rows.get("given_back", 0), settled


async def test_a_duplicate_event_makes_no_second_job(database: Database) -> None:
    results = await asyncio.gather(*(database.write(partial(jobs.insert, new=new_job(1))) for _ in range(20)))
    assert [result is not None for result in results].count(True) == 1
    assert await balance(database) == (100, 0)


async def test_a_delivered_job_is_settled_and_its_token_wiped(database: Database) -> None:
    job_id = await insert(database, new_job(credit=200, images=2))
    for step in (
        partial(jobs.started, job_id=job_id, now=11),
        partial(jobs.image_ended, job_id=job_id, position=0, state="rendered", file="a.png", device_ms=300),
        partial(jobs.image_ended, job_id=job_id, position=1, state="failed", file=None, device_ms=50),
        partial(jobs.rendered, job_id=job_id),
        partial(jobs.delivering, job_id=job_id),
        partial(jobs.delivered, job_id=job_id, channel_id=7, message_id=8, spent=100, now=12),
    ):
        await database.write(step)
    assert await balance(database) == (0, 100)
    (row,) = await database.query("SELECT * FROM jobs")
    assert (row["state"], row["interaction_token"], row["device_ms"], row["attempts"]) == ("delivered", None, 350, 1)
    assert [image.state for image in await jobs.images_of(database, job_id)] == ["rendered", "failed"]


async def test_a_dead_process_s_jobs_are_ended_and_given_back(database: Database) -> None:
    queued, running, rendered = [await insert(database, new_job(i)) for i in range(3)]
    await database.write(partial(jobs.started, job_id=running, now=1))
    await database.write(partial(jobs.started, job_id=rendered, now=1))
    await database.write(partial(jobs.rendered, job_id=rendered))
    assert await database.write(partial(jobs.interrupt_all, now=2)) == 2
    states = {row["id"]: row["state"] for row in await database.query("SELECT id, state FROM jobs")}
    assert states == {queued: "failed", running: "failed", rendered: "rendered"}
    assert await balance(database) == (100, 0)


STEPS = {
    "started": lambda job_id: partial(jobs.started, job_id=job_id, now=1),
    "rendered": lambda job_id: partial(jobs.rendered, job_id=job_id),
    "delivering": lambda job_id: partial(jobs.delivering, job_id=job_id),
    "undelivered": lambda job_id: partial(jobs.undelivered, job_id=job_id),
    "delivered": lambda job_id: partial(jobs.delivered, job_id=job_id, channel_id=1, message_id=2, spent=70, now=2),
    "failed": lambda job_id: partial(jobs.ended, job_id=job_id, state="failed", error_code="x", spent=0, now=2),
    "cancelled": lambda job_id: partial(jobs.ended, job_id=job_id, state="cancelled", error_code=None, spent=30, now=2),
    "expired": lambda job_id: partial(jobs.ended, job_id=job_id, state="expired", error_code=None, spent=0, now=2),
}


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=12))
def test_no_order_of_steps_breaks_the_ledger(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """Impossible steps raise and change nothing; an ended job has nothing reserved, and its rows sum to its price."""

    async def live() -> None:
        database = await Database.open(add_database(tmp_path_factory.mktemp("life") / "bot.sqlite3"))
        job_id = await insert(database, new_job())
        for step in steps:
            before = [tuple(row) for row in await database.query("SELECT * FROM jobs")]
            try:
                await database.write(STEPS[step](job_id))
            except jobs.StateError:
                assert before == [tuple(row) for row in await database.query("SELECT * FROM jobs")]
        (row,) = await database.query("SELECT state, ended_at FROM jobs")
        reserved, _ = await balance(database)
        over = row["state"] in ("delivered", "failed", "cancelled", "expired")
        assert (reserved == 0) == over == (row["ended_at"] is not None)
        await database.close()

    asyncio.run(live())
