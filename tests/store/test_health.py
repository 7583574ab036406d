"""What the operator is told of the whole instance."""

from __future__ import annotations

from functools import partial

from bot.store import jobs
from bot.store.database import Database
from bot.store.health import load
from tests.helpers import job_ends
from tests.store.test_jobs import insert, new_job


async def test_a_result_that_is_being_posted_or_waits_for_its_owner_is_no_undelivered_one(database: Database) -> None:
    async def undelivered() -> int:
        return (await database.read(partial(load, now=20))).undelivered

    job_id = await insert(database, new_job())
    await database.write(partial(jobs.started, job_id=job_id, now=11))
    end = partial(job_ends.image_ended, job_id=job_id, position=0, state="rendered", file="1.png", device_ms=9)
    await database.write(end)
    await database.write(partial(jobs.rendered, job_id=job_id, now=12))
    await database.write(partial(jobs.delivering, job_id=job_id))
    assert await undelivered() == 0, "the first attempt goes on"
    await database.write(partial(jobs.undelivered, job_id=job_id, due_at=30))
    assert await undelivered() == 1
    await database.write(partial(jobs.delivering, job_id=job_id))
    assert await undelivered() == 1, "the second attempt goes on"
    await database.write(partial(jobs.undelivered, job_id=job_id, due_at=None))
    assert await undelivered() == 0, "its owner has to ask for it"
