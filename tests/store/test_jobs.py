"""Jobs in the database: their states and their ledger."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import jobs
from bot.store.database import Database
from tests.helpers.databases import add_database


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
