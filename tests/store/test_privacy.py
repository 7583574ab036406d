"""Deleting members' data in the database: by age, at a member's wish, and unlinking a day later."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.requests.spec import ImageSpec
from bot.store import accounts, audit, images, jobs, ledger, moderation, privacy, recovery
from bot.store.audit import Change
from bot.store.database import Database
from tests.helpers import job_ends
from tests.helpers.ended_jobs import MIRA, NOA, NOW, SPEC, add, table

DAY = accounts.DAY


async def test_what_is_old_keeps_its_numbers_alone(database: Database) -> None:
    edit = ImageSpec("a green circle", 256, 256, 7, 8, 0.0, "blur", "Z-Image demo", 0.6, "a" * 32, "b" * 32)
    old = await add(database, 1, at=NOW - 31 * DAY, spec=edit)
    young = await add(database, 2, at=NOW - 29 * DAY)
    await add(database, 3, at=NOW - 31 * DAY, state="queued")
    await database.write(
        partial(images.keep_upload, upload_id="u", owner_id=5, original="c", spec="{}", now=NOW - 31 * DAY)
    )
    forgotten = await database.write(partial(privacy.forget_old, ended_before=NOW - 30 * DAY, at_most=10, now=NOW))
    assert (forgotten.jobs, forgotten.files) == (1, ["1.png"])
    row = await images.find(database, "i1")
    assert row is not None
    assert (row.state, row.file, row.owner_id, row.forgotten_at) == ("deleted", None, MIRA, NOW)
    spec = ImageSpec.from_json(row.spec)
    assert (spec.prompt, spec.negative_prompt, spec.original, spec.mask) == ("", "", "", "")
    assert (spec.width, spec.seed, spec.steps, spec.strength) == (256, 7, 8, 0.6)
    kept = await images.find(database, "i2")
    assert kept is not None
    assert kept.spec == SPEC.to_json()
    assert await table(database, "SELECT * FROM uploads") == []
    assert old != young
    assert await images.of_job(database, old) == []


async def test_old_jobs_go_in_bites(database: Database) -> None:
    for event_id in range(5):
        await add(database, event_id + 1, at=NOW - 40 * DAY - event_id)
    forget = partial(privacy.forget_old, ended_before=NOW, at_most=2, now=NOW)
    assert [(await database.write(forget)).jobs for _ in range(4)] == [2, 2, 1, 0]


async def test_a_member_is_forgotten_and_nobody_else(database: Database) -> None:
    original = ImageSpec("x", 256, 256, 7, 8, 0.0, "", "m", 0.6, "a" * 32)
    await add(database, 1)
    await add(database, 2, spec=original)
    theirs = await add(database, 3, owner=NOA, parent="i1", spec=replace(original, original="d" * 32))
    await database.write(
        partial(images.keep_upload, upload_id="u", owner_id=MIRA, original="c" * 32, spec="{}", now=NOW)
    )
    before = (await table(database, "SELECT * FROM jobs"))[theirs - 1]
    forgotten = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW + 5))
    assert (forgotten.jobs, forgotten.files, forgotten.still_open) == (2, ["1.png", "2.png"], 0)
    assert forgotten.originals == {"a" * 32, "c" * 32, "d" * 32}
    assert await privacy.kept_originals(database) == set(), "an edit of what was forgotten needs its source no more"
    assert (await table(database, "SELECT * FROM jobs"))[theirs - 1] == before
    assert await privacy.kept_files(database) == {"3.png"}
    mine = await table(database, "SELECT owner_id, forgotten_at, interaction_token FROM jobs WHERE id < 3")
    assert mine == [{"owner_id": 0, "forgotten_at": NOW + 5, "interaction_token": None}] * 2


async def test_what_somebody_else_needs_too_is_kept(database: Database) -> None:
    shared = ImageSpec("x", 256, 256, 7, 8, 0.0, "", "m", 0.6, "a" * 32, "b" * 32)
    await add(database, 1, spec=shared)
    await add(database, 2, owner=NOA, spec=shared)
    forgotten = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    assert forgotten.originals - await privacy.kept_originals(database) == set()


async def test_reasons_go_and_ids_stay(database: Database) -> None:
    await database.write(lambda c: moderation.write_block(c, 9, moderation.Block(MIRA, None, "spam", NOW)))
    await database.write(lambda c: moderation.write_block(c, 9, moderation.Block(NOA, None, "rude", NOW)))
    await database.write(
        lambda c: audit.record(c, 9, 1, Change("block", f"<@{MIRA}>", "free", "blocked", MIRA, "spam"), NOW)
    )
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    blocks = await table(database, "SELECT member_id, reason FROM blocks ORDER BY member_id")
    assert blocks == [{"member_id": MIRA, "reason": None}, {"member_id": NOA, "reason": "rude"}]
    (change,) = await database.read(partial(audit.newest, guild_id=9, count=5))
    assert (change.change.member_id, change.change.reason, change.change.after) == (MIRA, None, "blocked")


async def test_what_is_used_still_counts_for_a_day_and_is_nobody_s_then(database: Database) -> None:
    await add(database, 1)
    await add(database, 2, guild=None)
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    await add(database, 3)
    assert await database.read(lambda c: ledger.used(c, MIRA, 9, NOW)) == 200
    sums = await table(database, "SELECT sum(credits) AS credits, sum(images) AS images FROM usage_days")
    assert await database.write(partial(privacy.unlink, now=NOW + DAY - 1)) == 0
    assert [message.job_id async for message in privacy.posted_of(database, MIRA)] == [1, 2], "not what came after"
    assert await database.write(partial(privacy.unlink, now=NOW + DAY)) == 1
    assert await database.read(lambda c: ledger.used(c, MIRA, 9, NOW)) == 100, "the new account's"
    assert [message async for message in privacy.posted_of(database, MIRA)] == []
    rows = await table(
        database, "SELECT source_id, channel_id, progress_message_id, result_message_id FROM jobs WHERE owner_id = 0"
    )
    assert [row["source_id"] for row in rows] == [-1, -2]
    assert [row["channel_id"] for row in rows] == [45, 0], "a channel of direct messages tells whose it was"
    assert {row["result_message_id"] for row in rows} == {None}
    days = await table(database, "SELECT channel_id FROM usage_days WHERE scope_id = 0")
    assert days == [{"channel_id": 0}]
    assert await table(database, "SELECT sum(credits) AS credits, sum(images) AS images FROM usage_days") == sums


async def test_days_of_direct_messages_are_added_up_when_they_are_unlinked(database: Database) -> None:
    for event_id in (1, 2):
        await add(database, event_id, guild=None)
    await database.write(lambda c: c.execute("UPDATE usage_days SET channel_id = 0"))
    await add(database, 3, guild=None)
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    await database.write(partial(privacy.unlink, now=NOW + DAY))
    days = await table(database, "SELECT channel_id, jobs, images, credits FROM usage_days")
    assert days == [{"channel_id": 0, "jobs": 3, "images": 3, "credits": 300}]


async def test_what_still_runs_is_forgotten_when_it_ends(database: Database) -> None:
    running = await add(database, 1, state="running")
    forgotten = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    assert (forgotten.jobs, forgotten.still_open) == (0, 1)
    assert (await database.write(partial(privacy.forget_closed, now=NOW))).still_open == 1
    await database.write(partial(jobs.rendered, job_id=running, now=NOW))
    ended = partial(job_ends.ended, job_id=running, state="expired", error_code=None, spent=0, now=NOW)
    assert (await database.write(ended)).files == ["1.png"]
    await add(database, 2)  # of the new account: must stay
    forgotten = await database.write(partial(privacy.forget_closed, now=NOW))
    assert (forgotten.jobs, forgotten.files, forgotten.still_open) == (1, [], 0)
    assert [row["owner_id"] for row in await table(database, "SELECT owner_id FROM jobs ORDER BY id")] == [0, MIRA]


async def test_a_block_that_ran_out_goes_with_its_reason(database: Database) -> None:
    await database.write(lambda c: moderation.write_block(c, 9, moderation.Block(MIRA, NOW, "spam", NOW - 9)))
    await database.write(lambda c: moderation.write_block(c, 9, moderation.Block(NOA, NOW + 1, "rude", NOW - 9)))
    await database.write(partial(privacy.drop_expired_blocks, now=NOW))
    assert [row["member_id"] for row in await table(database, "SELECT member_id FROM blocks")] == [NOA]


async def test_freed_text_is_overwritten_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted data is overwritten, also if SQLite was built without secure_delete as its default."""
    connect = sqlite3.connect

    def without_overwriting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", without_overwriting)
    database = await Database.open(tmp_path / "bot.sqlite3")
    try:
        await add(database, 1, spec=ImageSpec("a very secret wish " * 200, 256, 256, 7, 8, 0.0, "", "m"))
        await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
        privacy.empty_log(tmp_path / "bot.sqlite3")
        assert not any(b"very secret wish" in path.read_bytes() for path in tmp_path.glob("bot.sqlite3*"))
        assert json.loads((await table(database, "SELECT spec FROM jobs"))[0]["spec"])["width"] == 256
    finally:
        await database.close()


@pytest.mark.parametrize("state", ["rendered", "delivering"])
async def test_what_is_being_delivered_is_left_to_who_delivers_it(database: Database, state: str) -> None:
    posting = await add(database, 1, state=state)
    stranded = await add(database, 2, state=state)
    forgotten = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW, live={posting}))
    assert (forgotten.jobs, forgotten.still_open) == (1, 1)
    again = await database.write(partial(privacy.forget_closed, member_id=MIRA, now=NOW, live={posting}))
    assert (again.jobs, again.still_open) == (0, 1)
    states = await table(database, "SELECT state, owner_id FROM jobs ORDER BY id")
    assert states == [{"state": state, "owner_id": MIRA}, {"state": "expired", "owner_id": 0}]
    if state == "rendered":
        await database.write(partial(jobs.delivering, job_id=posting))
    await database.write(partial(job_ends.delivered, job_id=posting, channel_id=45, message_id=77, spent=100, now=NOW))
    rest = await database.write(partial(privacy.forget_closed, member_id=MIRA, now=NOW, live=set()))
    assert (rest.jobs, rest.files, rest.still_open) == (1, ["1.png"], 0)
    assert [message.message_id async for message in privacy.posted_of(database, MIRA)] == [77]
    assert await database.read(lambda c: ledger.used(c, MIRA, 9, NOW)) == 100, "what was posted is paid"
    assert posting < stranded


async def test_a_member_s_many_jobs_are_forgotten_in_bites(database: Database) -> None:
    for event_id in range(1, 6):
        await add(database, event_id)
    first = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW, at_most=2))
    more = partial(privacy.forget_closed, member_id=MIRA, now=NOW, at_most=2)
    assert [first.jobs, *[(await database.write(more)).jobs for _ in range(3)]] == [2, 2, 1, 0]
    assert {row["owner_id"] for row in await table(database, "SELECT owner_id FROM jobs")} == {0}


async def test_an_account_is_unlinked_only_after_its_last_job_is_forgotten(database: Database) -> None:
    waiting = await add(database, 1, state="queued")
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    assert await database.write(partial(privacy.unlink, now=NOW + 2 * DAY)) == 0
    await database.write(
        partial(job_ends.ended, job_id=waiting, state="cancelled", error_code=None, spent=0, now=NOW + 2 * DAY)
    )
    assert (await database.write(partial(privacy.forget_closed, now=NOW + 2 * DAY))).jobs == 1
    assert await database.write(partial(privacy.unlink, now=NOW + 2 * DAY)) == 1
    (row,) = await table(database, "SELECT owner_id, source_id, json_extract(spec, '$.prompt') AS prompt FROM jobs")
    assert row == {"owner_id": 0, "source_id": -1, "prompt": ""}


async def test_a_card_that_a_crash_left_counts_as_posted(database: Database) -> None:
    left = await add(database, 1, state="running")
    await database.write(partial(jobs.card_shown, job_id=left, message_id=88))
    await database.write(
        partial(job_ends.ended, job_id=left, state="failed", error_code="x", spent=0, now=NOW, note="no")
    )
    await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW))
    expected = privacy.PostedMessage(left, 40 + MIRA, 88, private=False)
    assert [message async for message in privacy.posted_of(database, MIRA)] == [expected]
    await database.write(partial(privacy.message_gone, job_id=left))
    assert [message async for message in privacy.posted_of(database, MIRA)] == []


async def test_the_copy_of_a_deleted_picture_is_needed_no_more(database: Database) -> None:
    """The original of an edit is kept if its parent was forgotten for its age only."""
    for event_id, name in ((1, "a"), (2, "b")):
        await add(database, event_id, at=NOW - event_id * DAY)
        edit = ImageSpec("x", 256, 256, 7, 8, 0.0, "", "m", 0.6, name * 32)
        await add(database, event_id + 10, owner=NOA, parent=f"i{event_id}", spec=edit)
    await database.write(partial(images.delete, image_id="i1"))
    await database.write(partial(privacy.forget_old, ended_before=NOW - DAY, at_most=9, now=NOW))
    assert await privacy.kept_originals(database) == {"b" * 32}


async def test_looking_for_old_jobs_and_closed_accounts_scans_nothing(database: Database) -> None:
    plans = [
        "SELECT id FROM jobs WHERE forgotten_at IS NULL AND ended_at < 5 ORDER BY ended_at LIMIT 5",
        "SELECT id FROM jobs WHERE owner_id = 5 AND account_id IN (SELECT id FROM accounts WHERE closed_at > 0)",
    ]
    for sql in plans:
        for step in await table(database, f"EXPLAIN QUERY PLAN {sql}"):
            assert "SCAN jobs" not in step["detail"], step


async def test_a_new_process_does_not_go_on_with_jobs_of_members_who_had_their_data_deleted(database: Database) -> None:
    """The process ended while the jobs were being cancelled or delivered."""
    for event_id, state in enumerate(("queued", "running", "rendered", "delivering"), 1):
        await add(database, event_id, state=state)
    live = {1, 2, 3, 4}
    forgotten = await database.write(partial(privacy.forget_member, member_id=MIRA, now=NOW, live=live))
    assert forgotten.still_open == 4
    await add(database, 5, state="queued")  # of the new account
    await add(database, 6, owner=NOA, state="rendered")
    recovered = await database.write(partial(recovery.recover, now=NOW, given_up="given up"))
    assert (recovered.queued, recovered.given_up, recovered.rendered) == (1, 0, 1)
    states = await table(database, "SELECT state FROM jobs ORDER BY id")
    assert [row["state"] for row in states] == ["cancelled", "cancelled", "expired", "expired", "queued", "rendered"]
    forgotten = await database.write(partial(privacy.forget_closed, now=NOW))
    assert (forgotten.jobs, forgotten.still_open) == (4, 0)
