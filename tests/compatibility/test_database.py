"""A database written by commit 2c37dfa, opened by today's program.

``database_2c37dfa.sql`` is the dump of a database that holds something of everything, ``database_2c37dfa.json`` what
that commit's own functions read from it. Both were written by that commit's code and are never edited.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.jobs.job import Job
from bot.requests.member_settings import read_member_settings
from bot.requests.spec import ImageSpec
from bot.store import audit, exports, images, job_rows, jobs, ledger, limits, moderation, privacy, recovery, usage
from bot.store.admission import Terms
from bot.store.ceilings import read_terms
from bot.store.database import MIGRATIONS, Database, migrate
from bot.store.guild_settings import read_settings
from bot.store.limits import CEILINGS, LIMIT_NAMES, LimitName, Requester
from bot.store.queue_places import count_places
from tests.helpers.no_limits import NO_LIMITS

FOLDER = Path(__file__).parent
OLD: dict[str, Any] = json.loads((FOLDER / "database_2c37dfa.json").read_text(encoding="utf-8"))
NOW: int = OLD["now"]
MIRA, SERVER = 1001, 2001
DEFAULTS: dict[LimitName, int | None] = {
    **NO_LIMITS,
    "credits_per_day": 1500,
    "concurrent_jobs": 3,
    "queued_jobs": 10,
    "max_pixels": None,
    "max_count": 4,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The old database as a file, not yet migrated."""
    path = tmp_path / "zimage.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FOLDER / "database_2c37dfa.sql").read_text(encoding="utf-8"))
    return path


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(path)
    yield opened
    await opened.close()


@pytest.fixture
def file(path: Path) -> Iterator[sqlite3.Connection]:
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def as_json(value: object) -> Any:
    """Return the value as it comes back from JSON: tuples become lists, keys become text."""
    return json.loads(json.dumps(value))


def old_fields(row: Any, old: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row that existed then; later ones may have been added."""
    return {name: asdict(row)[name] for name in old}


def test_it_is_migrated_and_nothing_is_lost(path: Path) -> None:
    newer = sorted(each.stem for each in MIGRATIONS.glob("[0-9]*.sql"))[3:]
    assert migrate(path) == newer
    assert migrate(path) == []
    with closing(sqlite3.connect(path)) as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608 - our own tables
            for name in OLD["tables"]
        }
        assert counts == OLD["tables"]
        assert all(counts.values()), "the database holds something of everything"
        entries = {row[0] for row in connection.execute("SELECT DISTINCT entry FROM ledger")}
        states = {row[0] for row in connection.execute("SELECT DISTINCT state FROM jobs")}
    assert entries == {"reserved", "settled", "given_back", "granted", "reset"}
    assert len(states) == 8


async def test_images_are_found_and_their_specs_read(database: Database) -> None:
    for image_id, row in OLD["images"].items():
        found = await images.find(database, image_id)
        assert found is not None
        assert old_fields(found, row) == row
        old_spec = json.loads(row["spec"])
        spec = ImageSpec.from_json(row["spec"])
        assert spec.original == old_spec.get("source", "")
        assert spec.mask == old_spec.get("mask", "")
        if spec.original:
            assert spec.fields() == {key: value for key, value in old_spec.items() if key != "mask" or value}
    edits = [row for row in OLD["images"].values() if json.loads(row["spec"]).get("mask")]
    assert edits, "one of them is an edit with a mask"
    image_id, family = OLD["family"]
    assert [row.id for row in await images.family(database, image_id)] == family


def test_pictures_that_were_posted_count_as_seen_and_undelivered_ones_do_not(file: sqlite3.Connection) -> None:
    rows = file.execute(
        "SELECT DISTINCT jobs.state, seen_at IS NOT NULL AS seen FROM images JOIN jobs ON jobs.id = job_id"
        " WHERE images.state = 'rendered' AND jobs.state IN ('rendered', 'delivering', 'delivered') ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("delivered", 1), ("delivering", 0), ("rendered", 0)]


async def test_uploads_are_found(database: Database) -> None:
    for upload_id, row in OLD["uploads"].items():
        upload = await images.find_upload(database, upload_id)
        assert upload is not None
        assert (upload.id, upload.owner_id, upload.original, upload.spec) == tuple(row.values())


async def test_what_members_and_admins_have_set_holds(database: Database, file: sqlite3.Connection) -> None:
    for member_id, values in OLD["member_settings"].items():
        assert old_fields(await read_member_settings(database, int(member_id)), values) == values
    assert await read_settings(database, SERVER) == OLD["guild_settings"]
    unlimited: dict[LimitName, int | None] = dict.fromkeys(LIMIT_NAMES)
    configured = Terms(unlimited, unlimited, credits_per_user=1, credits_per_server=700, queue_length=9)
    terms = await read_terms(database, configured)
    assert {name: getattr(terms, name) for name in CEILINGS} == OLD["ceilings"]
    assert moderation.paused_guilds(file) == OLD["paused"]
    for guild_id, blocks in OLD["blocks"].items():
        assert [asdict(block) for block in moderation.blocks_of(file, int(guild_id), NOW)] == blocks
    assert [asdict(word) for word in moderation.words_in(file, SERVER)] == OLD["words"]
    assert as_json(moderation.channel_rules(file, SERVER)) == OLD["channel_rules"]
    assert [asdict(row) for row in audit.newest(file, SERVER, count=10)] == OLD["audit"]


def test_limits_resolve_to_the_same_values(file: sqlite3.Connection) -> None:
    for member_id, role_ids, expected in OLD["limits"]:
        requester = Requester(member_id, SERVER, SERVER, tuple(role_ids))
        found = limits.resolve(file, requester, DEFAULTS, NOW)
        for name, old in expected.items():
            limit = found[name]
            assert (limit.name, limit.value, limit.origin, limit.role_id, limit.until) == tuple(old.values())


def test_the_ledger_sums_to_the_same_credits(file: sqlite3.Connection) -> None:
    for member_id, scope_id, *expected in OLD["ledger"]:
        assert [
            ledger.used(file, member_id, scope_id, NOW),
            ledger.granted(file, member_id, scope_id),
            ledger.used_everywhere(file, member_id, NOW),
            ledger.used_in(file, scope_id, NOW),
            [[renewal.at, renewal.credits] for renewal in ledger.renewals(file, member_id, scope_id, NOW)],
            [[renewal.at, renewal.credits] for renewal in ledger.renewals_everywhere(file, member_id, NOW)],
            [[renewal.at, renewal.credits] for renewal in ledger.renewals_in(file, scope_id, NOW)],
            job_rows.count_open(file, member_id, scope_id),
        ] == expected, (member_id, scope_id)
    assert count_places(file, Requester(MIRA, SERVER, SERVER)).taken == OLD["queue"]


async def test_usage_and_kept_files_are_the_same(database: Database) -> None:
    days = usage.Days.until(NOW, 60)
    for by in usage.BYS:
        shares = await usage.shares(database, SERVER, days, by)
        assert [[share.key, asdict(share.used)] for share in shares] == OLD["usage"][by]
    assert asdict(await usage.used_everywhere(database, MIRA, days)) == OLD["used_everywhere_in_days"]
    assert sorted(await privacy.kept_originals(database)) == OLD["kept_originals"]
    assert sorted(await privacy.kept_files(database)) == OLD["kept_files"]


def only_old(exported: Any, old: Any) -> Any:
    """Return what is exported without the keys that were added since."""
    if isinstance(old, dict) and isinstance(exported, dict):
        return {name: only_old(value, old[name]) for name, value in exported.items() if name in old}
    if isinstance(old, list) and isinstance(exported, list) and len(old) == len(exported):
        return [only_old(*pair) for pair in zip(exported, old, strict=True)]
    return exported


def test_everything_that_was_exported_still_is(file: sqlite3.Connection) -> None:
    told, input_files = exports.about(file, MIRA)
    assert only_old(told, OLD["export"]["about"]) == OLD["export"]["about"]
    assert input_files == OLD["export"]["brought"]
    found = exports.jobs_from(file, MIRA, 1, 100)
    # Only the attribute has another name; what members get are the rows.
    exported = [asdict(job) for job in found]
    old = [{**job, "input_files": job["brought"]} for job in OLD["export"]["jobs"]]
    old = [{name: value for name, value in job.items() if name != "brought"} for job in old]
    assert only_old(as_json(exported), old) == old


async def test_what_was_interrupted_goes_on(database: Database) -> None:
    """Jobs that were queued or running are queued again; undelivered ones are due, and have a day's charges."""
    recovered = await database.write(partial(recovery.recover, now=NOW, given_up="given up"))
    assert (recovered.queued, recovered.given_up, recovered.rendered) == (3, 0, 2)
    for row in await database.query("SELECT id FROM jobs WHERE state = 'rendered'"):
        job = await database.read(partial(job_rows.find, job_id=row["id"]))
        assert job is not None
        assert sum(image.charge or 0 for image in job.images) == job.credits
        assert job.delivery_attempts == 1, "it may have been posted: it is looked for first"
        expire = partial(jobs.ended, state="expired", error_code="undelivered", note="", now=NOW)
        await database.write(partial(expire, job_id=job.id))
    queued = await database.read(job_rows.queued)
    for job in queued:
        assert Job.from_row(job).request.spec.prompt
        await database.write(partial(jobs.ended, job_id=job.id, state="cancelled", error_code=None, note="", now=NOW))
    assert await database.query("SELECT id FROM jobs WHERE ended_at IS NULL") == []
