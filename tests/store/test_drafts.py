"""Drafts: bounded, kept for a day, and the same request once."""

from __future__ import annotations

import json
from functools import partial

from bot.store import drafts, exports, privacy
from bot.store.accounts import DAY
from bot.store.database import Database
from bot.store.drafts import DRAFTS_MAX

MIRA, NOA = 5, 6


async def keep(database: Database, prompt: str, owner: int = MIRA, now: int = 10) -> int:
    request = json.dumps({"prompt": prompt})
    return await database.write(partial(drafts.keep, owner_id=owner, request=request, now=now))


async def kept(database: Database) -> list[str]:
    rows = await database.query("SELECT request FROM drafts ORDER BY id")
    return [json.loads(row["request"])["prompt"] for row in rows]


async def test_the_oldest_go_and_those_of_others_stay(database: Database) -> None:
    await keep(database, "noa's", NOA)
    for number in range(DRAFTS_MAX + 5):
        await keep(database, f"p{number}")
    assert await kept(database) == ["noa's", *(f"p{number}" for number in range(5, DRAFTS_MAX + 5))]


async def test_the_same_request_is_kept_once_and_counts_as_new(database: Database) -> None:
    first = await keep(database, "p0", now=10)
    for number in range(1, DRAFTS_MAX):
        await keep(database, f"p{number}", now=11)
    assert await keep(database, "p0", now=12) == first
    await keep(database, "new", now=13)
    assert "p0" in await kept(database)
    assert "p1" not in await kept(database)
    assert await keep(database, "p0", NOA) != first


async def test_a_draft_is_kept_for_a_day(database: Database) -> None:
    draft_id = await keep(database, "p", now=10)
    found = await database.read(partial(drafts.find, draft_id=draft_id, now=9 + DAY))
    assert found is not None
    assert (found.owner_id, found.request) == (MIRA, '{"prompt": "p"}')
    assert await database.read(partial(drafts.find, draft_id=draft_id, now=10 + DAY)) is None
    await database.write(partial(drafts.drop_old, now=9 + DAY))
    assert await kept(database) == ["p"]
    await database.write(partial(drafts.drop_old, now=10 + DAY))
    assert await kept(database) == []
    assert await keep(database, "q") > draft_id, "a button of a draft that is gone opens no other one"


async def test_members_can_have_theirs_exported_and_deleted(database: Database) -> None:
    await keep(database, "p")
    await keep(database, "noa's", NOA)
    told, _ = await database.read(partial(exports.about, member_id=MIRA))
    assert told["requests_to_edit"] == [{"request": {"prompt": "p"}, "at": "1970-01-01T00:00:10+00:00"}]
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=11))
    assert await kept(database) == ["noa's"]
