"""Forgetting: what a row says of a member goes, its numbers stay. Every function is part of a write transaction.

A job that is forgotten keeps its size, seed, state and credits; its prompts become empty, its images 'deleted'.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.store import jobs, ledger
from bot.store.accounts import DAY, close_account, unlink_closed
from bot.store.database import Database

_ENDED = "state IN ('delivered', 'failed', 'cancelled', 'expired')"
_WIPED = (
    "spec = json_replace(spec, '$.prompt', '', '$.negative_prompt', '', '$.source', '', '$.mask', ''),"
    " interaction_token = NULL, token_expires_at = NULL"
)
_PAGE = 5000


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten: ``files`` of images have to go, and of ``sources`` those that nobody keeps
    (:func:`kept_sources`). ``still_open`` are jobs that have not ended; :func:`forget_closed` is for them.
    """

    jobs: int = 0
    files: list[str] = field(default_factory=list)
    sources: set[str] = field(default_factory=set)
    still_open: int = 0


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """A result message in Discord; a ``private`` one may be shown to its owner alone, out of the bot's reach."""

    job_id: int
    channel_id: int
    message_id: int
    private: bool


def forget_old(connection: sqlite3.Connection, *, ended_before: int, at_most: int, now: int) -> Forgotten:
    """Forget prompts and images of jobs that ended before a time, and pictures that were brought before it."""
    _wipe_what_goes(connection)
    rows = connection.execute(
        "SELECT id FROM jobs WHERE forgotten_at IS NULL AND ended_at < ? ORDER BY ended_at LIMIT ?",
        (ended_before, at_most),
    ).fetchall()
    connection.execute("DELETE FROM uploads WHERE created_at < ?", (ended_before,))
    files = [file for row in rows for file in _delete_images(connection, row["id"])]
    connection.executemany(
        f"UPDATE jobs SET {_WIPED}, forgotten_at = ? WHERE id = ?", [(now, row["id"]) for row in rows]
    )
    return Forgotten(len(rows), files)


def forget_member(connection: sqlite3.Connection, member_id: int, now: int) -> Forgotten:
    """Forget everything about a member but what keeps order: ids in limits, blocks and the audit, and sums.

    Their account is closed; what is left of it is unlinked a day later, by :func:`unlink`.
    """
    _wipe_what_goes(connection)
    for row in connection.execute(
        "SELECT id FROM jobs WHERE owner_id = ? AND state IN ('rendered', 'delivering')", (member_id,)
    ).fetchall():
        jobs.ended(connection, row["id"], "expired", error_code="forgotten", spent=0, now=now)
    brought = connection.execute("DELETE FROM uploads WHERE owner_id = ? RETURNING source", (member_id,)).fetchall()
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE blocks SET reason = NULL WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE audit SET reason = NULL WHERE member_id = ?", (member_id,))
    forgotten = _forget_jobs(connection, member_id, now)
    close_account(connection, member_id, now)
    return replace(forgotten, sources=forgotten.sources | {row["source"] for row in brought})


def forget_closed(connection: sqlite3.Connection, now: int, member_id: int | None = None) -> Forgotten:
    """Forget the jobs of closed accounts that have ended since: one member's, or everybody's."""
    rows = connection.execute(
        "SELECT DISTINCT member_id FROM accounts"
        " WHERE closed_at IS NOT NULL AND member_id IS NOT NULL AND (?1 IS NULL OR member_id = ?1)",
        (member_id,),
    ).fetchall()
    found = [_forget_jobs(connection, row["member_id"], now, closed=True) for row in rows]
    return Forgotten(
        sum(each.jobs for each in found),
        [file for each in found for file in each.files],
        {name for each in found for name in each.sources},
        sum(each.still_open for each in found),
    )


def unlink(connection: sqlite3.Connection, now: int) -> int:
    """Forget whose the accounts were that were closed a day ago, with everything that could tell; how many."""
    connection.execute(
        "UPDATE jobs SET source_id = -id, progress_message_id = NULL, result_channel_id = NULL,"
        " result_message_id = NULL, channel_id = CASE WHEN guild_id IS NULL THEN 0 ELSE channel_id END"
        " WHERE owner_id = 0 AND source_id > 0 AND account_id IN (SELECT id FROM accounts WHERE closed_at <= ?)",
        (now - DAY,),
    )
    # A channel of direct messages is somebody's.
    whose = "scope_id = 0 AND channel_id <> 0 AND account_id IN (SELECT id FROM accounts WHERE closed_at <= ?)"
    connection.execute(
        "INSERT INTO usage_days (scope_id, day, account_id, channel_id, kind, jobs, images, credits, device_ms)"
        " SELECT scope_id, day, account_id, 0, kind, sum(jobs), sum(images), sum(credits), sum(device_ms)"
        f" FROM usage_days WHERE {whose} GROUP BY day, account_id, kind"
        " ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, images = images + excluded.images,"
        "  credits = credits + excluded.credits, device_ms = device_ms + excluded.device_ms",
        (now - DAY,),
    )
    connection.execute(f"DELETE FROM usage_days WHERE {whose}", (now - DAY,))
    ledger.carry_grants(connection, now)
    return unlink_closed(connection, now)


def expire_undelivered(connection: sqlite3.Connection, now: int) -> int:
    """End what was drawn a day ago and could not be delivered, giving its credits back; how many jobs."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE state IN ('rendered', 'delivering') AND coalesce(started_at, created_at) <= ?",
        (now - DAY,),
    ).fetchall()
    for row in rows:
        jobs.ended(connection, row["id"], "expired", error_code="undelivered", spent=0, now=now)
    return len(rows)


def drop_expired_blocks(connection: sqlite3.Connection, now: int) -> None:
    """Remove blocks that have run out, with their reasons."""
    connection.execute("DELETE FROM blocks WHERE until <= ?", (now,))


async def posted_of(database: Database, member_id: int) -> list[PostedMessage]:
    """The result messages of a member's jobs, forgotten ones too until their account is unlinked; oldest first."""
    rows = await database.read(
        "SELECT jobs.id AS job_id, result_channel_id AS channel_id, result_message_id AS message_id,"
        " visibility = 'private' AS private FROM jobs"
        " WHERE owner_id IN (0, ?1) AND account_id IN (SELECT id FROM accounts WHERE member_id = ?1)"
        " AND result_message_id IS NOT NULL ORDER BY jobs.id",
        (member_id,),
    )
    return [PostedMessage(row["job_id"], row["channel_id"], row["message_id"], bool(row["private"])) for row in rows]


def message_gone(connection: sqlite3.Connection, job_id: int) -> None:
    """A result message was deleted in Discord."""
    connection.execute("UPDATE jobs SET result_channel_id = NULL, result_message_id = NULL WHERE id = ?", (job_id,))


def empty_log(path: Path) -> None:
    """Write the database's log into its file and cut it: what was removed shall not stay in there. Blocks.

    While somebody reads it the log stays for the next time.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA busy_timeout = 2000; PRAGMA wal_checkpoint(TRUNCATE);")


async def kept_files(database: Database) -> set[str]:
    """The names of all files that images are in."""
    names: set[str] = set()
    last = ""
    while rows := await database.read("SELECT id, file FROM images WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)):
        names.update(row["file"] for row in rows if row["file"] is not None)
        last = rows[-1]["id"]
    return names


async def kept_sources(database: Database) -> set[str]:
    """The names of the sources and masks that an upload or a job needs that is kept.

    What was made from the image of a member who wanted to be forgotten needs it no more.
    """
    names = {row["source"] for row in await database.read("SELECT source FROM uploads")}
    last = 0
    while rows := await database.read(
        "SELECT jobs.id, json_extract(jobs.spec, '$.source') AS source, json_extract(jobs.spec, '$.mask') AS mask,"
        " parents.owner_id IS 0 AS forgotten FROM jobs"
        " LEFT JOIN images ON images.id = jobs.parent_image_id LEFT JOIN jobs AS parents ON parents.id = images.job_id"
        " WHERE jobs.id > ? AND jobs.forgotten_at IS NULL ORDER BY jobs.id LIMIT ?",
        (last, _PAGE),
    ):
        names.update(row["source"] for row in rows if row["source"] and not row["forgotten"])
        names.update(row["mask"] for row in rows if row["mask"])
        last = rows[-1]["id"]
    return names


def _forget_jobs(connection: sqlite3.Connection, member_id: int, now: int, *, closed: bool = False) -> Forgotten:
    """Forget a member's jobs that have ended; with ``closed`` those of their closed accounts alone."""
    of_closed = " AND account_id IN (SELECT id FROM accounts WHERE closed_at IS NOT NULL)" if closed else ""
    rows = connection.execute(
        f"SELECT id, {_ENDED} AS ended FROM jobs WHERE owner_id = ?{of_closed}", (member_id,)
    ).fetchall()
    ended = [row["id"] for row in rows if row["ended"]]
    sources: set[str] = set()
    files: list[str] = []
    for job_id in ended:
        sources |= _sources_around(connection, job_id)
        files += _delete_images(connection, job_id)
    connection.executemany(
        f"UPDATE jobs SET {_WIPED}, owner_id = 0, forgotten_at = coalesce(forgotten_at, ?) WHERE id = ?",
        [(now, job_id) for job_id in ended],
    )
    return Forgotten(len(ended), files, sources, len(rows) - len(ended))


def _wipe_what_goes(connection: sqlite3.Connection) -> None:
    """From now on SQLite overwrites what it frees: text that was removed does not stay in the file."""
    connection.execute("PRAGMA secure_delete = ON")


def _delete_images(connection: sqlite3.Connection, job_id: int) -> list[str]:
    """Mark a job's images as deleted; the files that have to go."""
    rows = connection.execute("SELECT file FROM images WHERE job_id = ? AND file IS NOT NULL", (job_id,)).fetchall()
    connection.execute(
        "UPDATE images SET state = 'deleted', file = NULL WHERE job_id = ? AND state = 'rendered'", (job_id,)
    )
    return [row["file"] for row in rows]


def _sources_around(connection: sqlite3.Connection, job_id: int) -> set[str]:
    """What a job was made from, and what was made from its images."""
    rows = connection.execute(
        "SELECT json_extract(spec, '$.source') FROM jobs"
        " WHERE id = ?1 OR parent_image_id IN (SELECT id FROM images WHERE job_id = ?1)"
        " UNION SELECT json_extract(spec, '$.mask') FROM jobs WHERE id = ?1",
        (job_id,),
    )
    return {row[0] for row in rows if row[0]}
