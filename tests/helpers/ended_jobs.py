"""For tests of forgetting: jobs in any state, and the tables' rows."""

from __future__ import annotations

from functools import partial
from typing import Any

from bot.requests.spec import ImageSpec
from bot.store import jobs
from bot.store.database import Database
from bot.store.reply_tokens import ReplyToken
from tests.helpers import job_ends

MIRA, NOA = 5, 6
SPEC = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "blur", "Z-Image demo")
NOW = 10_000_000


async def add(
    database: Database,
    event_id: int,
    *,
    owner: int = MIRA,
    state: str = "delivered",
    at: int = NOW,
    spec: ImageSpec = SPEC,
    parent: str | None = None,
    guild: int | None = 9,
) -> int:
    """Insert a job with one image ``i<event_id>`` and bring it to ``state``. Returns its id."""
    new = jobs.NewJob(
        event_id=event_id,
        owner_id=owner,
        scope_id=guild or 0,
        guild_id=guild,
        channel_id=40 + owner,
        visibility="public",
        kind="imagine",
        spec=spec.to_json(),
        credits=100,
        images=((f"i{event_id}", 7),),
        nonce="n",
        reply=ReplyToken(1, "secret-token", at + 900),
        created_at=at,
        parent_image_id=parent,
    )
    job_id = await database.write(partial(jobs.insert, new=new))
    assert job_id is not None
    steps: list[Any] = []
    if state != "queued":
        steps += [
            partial(jobs.started, job_id=job_id, now=at),
            partial(
                job_ends.image_ended, job_id=job_id, position=0, state="rendered", file=f"{event_id}.png", device_ms=9
            ),
        ]
    if state in ("rendered", "delivering", "delivered"):
        steps.append(partial(jobs.rendered, job_id=job_id, now=at))
    if state in ("delivering", "delivered"):
        steps.append(partial(jobs.delivering, job_id=job_id))
    if state == "delivered":
        steps.append(partial(job_ends.delivered, job_id=job_id, channel_id=45, message_id=event_id, spent=100, now=at))
    for step in steps:
        await database.write(step)
    return job_id


async def table(database: Database, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await database.query(sql)]
