"""Jobs in the database: their states and their ledger."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import job_rows, jobs, recovery
from bot.store.database import Database
from bot.store.job_rows import JobRow
from bot.store.job_states import EndState
from bot.store.jobs import ImageEnd
from bot.store.reply_tokens import ReplyToken
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
        reply=ReplyToken(1, "secret", 99),
        created_at=10,
    )


async def insert(database: Database, new: jobs.NewJob) -> int:
    job_id = await database.write(partial(jobs.insert, new=new))
    assert job_id is not None
    return job_id


async def find(database: Database, job_id: int) -> JobRow:
    job = await database.read(partial(job_rows.find, job_id=job_id))
    assert job is not None
    return job


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


async def test_a_delivered_job_is_settled_by_its_images_charges(database: Database) -> None:
    job_id = await insert(database, new_job(credit=200, images=2))
    rendered, failed = ImageEnd("rendered", 100, 300, file="a.png"), ImageEnd("failed", 0, 50, error="no")
    for step in (
        partial(jobs.card_shown, job_id=job_id, message_id=6),
        partial(jobs.started, job_id=job_id, now=11),
        partial(jobs.image_ended, job_id=job_id, position=0, end=rendered),
        partial(jobs.image_ended, job_id=job_id, position=1, end=failed),
        partial(jobs.rendered, job_id=job_id, now=12),
        partial(jobs.delivering, job_id=job_id),
        partial(jobs.delivered, job_id=job_id, channel_id=7, message_id=8, now=12),
    ):
        await database.write(step)
    assert await balance(database) == (0, 100)
    job = await find(database, job_id)
    assert (job.state, job.device_ms, job.attempts, job.delivery_attempts) == ("delivered", 350, 0, 1)
    assert [(image.state, image.charge) for image in job.images] == [("rendered", 100), ("failed", 0)]
    assert job.due_at == 12, "the card is to be removed"
    assert job.reply == ReplyToken(1, "secret", 99), "with which the card is removed"
    await database.write(partial(jobs.card_ended, job_id=job_id))
    job = await find(database, job_id)
    assert (job.due_at, job.reply) == (None, None)


async def test_a_new_process_goes_on_with_every_open_job(database: Database) -> None:
    """Running jobs are queued again in their old order; results are due, also one that may have been posted."""
    states = ("queued", "running", "rendered", "delivering", "delivered")
    ids = {state: await insert(database, new_job(i)) for i, state in enumerate(states)}
    for state in states[1:]:
        await database.write(partial(jobs.started, job_id=ids[state], now=1))
    for state in states[2:]:
        await database.write(
            partial(jobs.image_ended, job_id=ids[state], position=0, end=ImageEnd("rendered", 100, 1, file="a.png"))
        )
        await database.write(partial(jobs.rendered, job_id=ids[state], now=1))
    for state in states[3:]:
        await database.write(partial(jobs.delivering, job_id=ids[state]))
    await database.write(partial(jobs.delivered, job_id=ids["delivered"], channel_id=1, message_id=2, now=1))
    recovered = await database.write(partial(recovery.recover, now=50, given_up="given up"))
    assert recovered == recovery.Recovered(queued=2, given_up=0, rendered=2)
    queued = await database.read(job_rows.queued)
    assert [(job.id, job.attempts) for job in queued] == [(ids["queued"], 0), (ids["running"], 1)]
    left = [await find(database, ids[state]) for state in ("rendered", "delivering", "delivered")]
    assert [(job.state, job.due_at, job.delivery_attempts) for job in left] == [
        ("rendered", 50, 0),
        ("rendered", 50, 1),
        ("delivered", 50, 1),  # it may have a card that was not noted
    ]
    assert await balance(database) == (400, 100)


async def crash_while_running(database: Database, job_id: int) -> JobRow:
    await database.write(partial(jobs.started, job_id=job_id, now=1))
    await database.write(partial(recovery.recover, now=2, given_up="given up"))
    return await find(database, job_id)


async def test_after_the_third_crash_a_job_is_given_up_and_costs_nothing(database: Database) -> None:
    job_id = await insert(database, new_job())
    assert [(await crash_while_running(database, job_id)).state for _ in range(3)] == ["queued", "queued", "failed"]
    job = await find(database, job_id)
    assert (job.note, job.due_at, job.images[0].error) == ("given up", 2, "given up")
    assert await balance(database) == (0, 0)


async def test_after_the_third_crash_the_images_that_are_rendered_are_delivered(database: Database) -> None:
    job_id = await insert(database, new_job(credit=200, images=2))
    end = ImageEnd("rendered", 100, 9, file="a.png")
    await database.write(partial(jobs.image_ended, job_id=job_id, position=1, end=end))
    states = [(await crash_while_running(database, job_id)).state for _ in range(3)]
    assert states == ["queued", "queued", "rendered"]
    job = await find(database, job_id)
    assert [(image.state, image.charge) for image in job.images] == [("failed", 0), ("rendered", 100)]


async def test_a_planned_stop_counts_no_attempt(database: Database) -> None:
    job_id = await insert(database, new_job())
    for _ in range(5):
        await database.write(partial(jobs.started, job_id=job_id, now=1))
        assert await database.write(recovery.requeue_running) == 1
        await database.write(partial(recovery.recover, now=2, given_up="given up"))
    job = await find(database, job_id)
    assert (job.state, job.attempts) == ("queued", 0)


RENDERED = ImageEnd("rendered", 70, 1, file="a.png")
STEPS = {
    "started": lambda job_id: partial(jobs.started, job_id=job_id, now=1),
    "image": lambda job_id: partial(jobs.image_ended, job_id=job_id, position=0, end=RENDERED),
    "interrupted": lambda job_id: partial(jobs.interrupted, job_id=job_id, count_attempt=False),
    "rendered": lambda job_id: partial(jobs.rendered, job_id=job_id, now=1),
    "delivering": lambda job_id: partial(jobs.delivering, job_id=job_id),
    "undelivered": lambda job_id: partial(jobs.undelivered, job_id=job_id, due_at=5),
    "delivered": lambda job_id: partial(jobs.delivered, job_id=job_id, channel_id=1, message_id=2, now=2),
    "failed": lambda job_id: partial(jobs.ended, job_id=job_id, state="failed", error_code="x", note="no", now=2),
    "cancelled": lambda job_id: partial(jobs.ended, job_id=job_id, state="cancelled", error_code=None, note="", now=2),
    "expired": lambda job_id: partial(jobs.ended, job_id=job_id, state="expired", error_code="x", note="late", now=2),
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


@pytest.mark.parametrize(("state", "settled"), [("cancelled", 70), ("failed", 0)])
async def test_what_a_job_without_a_result_costs_is_returned(database: Database, state: EndState, settled: int) -> None:
    job_id = await insert(database, new_job())
    end = ImageEnd("cancelled", 70, 1)
    await database.write(partial(jobs.image_ended, job_id=job_id, position=0, end=end))
    ended = partial(jobs.ended, job_id=job_id, state=state, error_code=None, note="", now=2)
    assert await database.write(ended) == jobs.Ended(settled)
    assert await balance(database) == (0, settled)
