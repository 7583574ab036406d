"""Forgetting: what a row says of a member goes, its numbers stay. Every function is part of a write transaction.

A job that is forgotten keeps its size, seed, state and credits; its prompts become empty, its images 'deleted'.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bot.store import jobs, ledger
from bot.store.accounts import DAY, close_account, unlink_closed
from bot.store.database import Database

_ENDED = "state IN ('delivered', 'failed', 'cancelled', 'expired')"
_WIPED = (
    "spec = json_replace(spec, '$.prompt', '', '$.negative_prompt', '', '$.source', '', '$.mask', ''),"
    " interaction_token = NULL, token_expires_at = NULL"
)
_OPEN = _ENDED.replace(" IN ", " NOT IN ")
_THEIRS = "owner_id = ?1 AND account_id IN (SELECT id FROM accounts WHERE member_id = ?1 AND closed_at IS NOT NULL)"
_PAGE = 5000
_BITE = 500
"""Jobs forgotten in one transaction: everybody's commands wait for it."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten: ``files`` of images have to go, and of ``originals`` those that nobody keeps
    (:func:`kept_originals`). ``still_open`` are jobs that have not ended; :func:`forget_closed` is for them.
    ``uploads`` are pictures that ``/details`` had looked at.
    """

    jobs: int = 0
    files: list[str] = field(default_factory=list)
    originals: set[str] = field(default_factory=set)
    still_open: int = 0
    uploads: int = 0

    def __add__(self, later: Forgotten) -> Forgotten:
        return Forgotten(
            self.jobs + later.jobs,
            self.files + later.files,
            self.originals | later.originals,
            self.still_open + later.still_open,
            self.uploads + later.uploads,
        )


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """A result or a card in Discord; a ``private`` one may be shown to its owner alone, out of the bot's reach."""

    job_id: int
    channel_id: int
    message_id: int
    private: bool


def forget_old(connection: sqlite3.Connection, *, ended_before: int, at_most: int, now: int) -> Forgotten:
    """Forget prompts and images of jobs that ended before a time, and pictures that were brought before it."""
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


def forget_member(
    connection: sqlite3.Connection, member_id: int, now: int, live: Collection[int] = (), at_most: int = _BITE
) -> Forgotten:
    """Forget everything about a member but what keeps order: ids in limits, blocks and the audit, and sums.

    Their account is closed; what is left of it is unlinked a day later, by :func:`unlink`. Of their jobs so many go at
    once; where as many went, :func:`forget_closed` is for more. ``live`` is as there.
    """
    brought = connection.execute("DELETE FROM uploads WHERE owner_id = ? RETURNING source", (member_id,)).fetchall()
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE blocks SET reason = NULL WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE audit SET reason = NULL WHERE member_id = ?", (member_id,))
    close_account(connection, member_id, now)
    uploads = Forgotten(originals={row["source"] for row in brought}, uploads=len(brought))
    return uploads + _forget_jobs(connection, member_id, now, live, at_most)


def forget_closed(
    connection: sqlite3.Connection,
    now: int,
    member_id: int | None = None,
    live: Collection[int] | None = None,
    at_most: int = _BITE,
) -> Forgotten:
    """Forget jobs of closed accounts that have ended since, at most so many: one member's, or everybody's.

    What was drawn and not delivered ends now, unless its id is in ``live``: the process still carries these jobs, and
    they are open until it has brought them to their end. None leaves all of them to :func:`expire_undelivered`.
    """
    rows = connection.execute(
        "SELECT DISTINCT member_id FROM accounts"
        " WHERE closed_at IS NOT NULL AND member_id IS NOT NULL AND (?1 IS NULL OR member_id = ?1)",
        (member_id,),
    ).fetchall()
    found = Forgotten()
    for row in rows:
        found += _forget_jobs(connection, row["member_id"], now, live, at_most - found.jobs)
    return found


def unlink(connection: sqlite3.Connection, now: int) -> int:
    """Forget whose the accounts were that were closed a day ago, with everything that could tell; how many.

    Accounts with jobs that are not forgotten yet keep their member until these are.
    """
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
    """The messages of a member's forgotten jobs, until their account is unlinked; oldest first.

    The result; or the card, with whatever a crash left on it, where there is none.
    """
    rows = await database.query(
        "SELECT id AS job_id, coalesce(result_channel_id, channel_id) AS channel_id,"
        " coalesce(result_message_id, progress_message_id) AS message_id, visibility = 'private' AS private FROM jobs"
        " WHERE owner_id = 0 AND account_id IN (SELECT id FROM accounts WHERE member_id = ?)"
        " AND coalesce(result_message_id, progress_message_id) IS NOT NULL ORDER BY id",
        (member_id,),
    )
    return [PostedMessage(row["job_id"], row["channel_id"], row["message_id"], bool(row["private"])) for row in rows]


def message_gone(connection: sqlite3.Connection, job_id: int) -> None:
    """What :func:`posted_of` told of a job was deleted in Discord."""
    connection.execute(
        "UPDATE jobs SET result_channel_id = NULL, result_message_id = NULL, progress_message_id = NULL WHERE id = ?",
        (job_id,),
    )


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
    while rows := await database.query("SELECT id, file FROM images WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)):
        names.update(row["file"] for row in rows if row["file"] is not None)
        last = rows[-1]["id"]
    return names


async def kept_originals(database: Database) -> set[str]:
    """The names of the sources and masks that an upload or a job needs that is kept.

    What was made from an image that was deleted, or whose member wanted to be forgotten, needs it no more; what was
    made from one that only became too old does.
    """
    names = {row["source"] for row in await database.query("SELECT source FROM uploads")}
    last = 0
    while rows := await database.query(
        "SELECT jobs.id, json_extract(jobs.spec, '$.source') AS source, json_extract(jobs.spec, '$.mask') AS mask,"
        " parents.owner_id IS 0 OR (images.state IS 'deleted' AND parents.forgotten_at IS NULL) AS parent_gone"
        " FROM jobs"
        " LEFT JOIN images ON images.id = jobs.parent_image_id LEFT JOIN jobs AS parents ON parents.id = images.job_id"
        " WHERE jobs.id > ? AND jobs.forgotten_at IS NULL ORDER BY jobs.id LIMIT ?",
        (last, _PAGE),
    ):
        names.update(row["source"] for row in rows if row["source"] and not row["parent_gone"])
        names.update(row["mask"] for row in rows if row["mask"])
        last = rows[-1]["id"]
    return names


def _forget_jobs(
    connection: sqlite3.Connection, member_id: int, now: int, live: Collection[int] | None, at_most: int
) -> Forgotten:
    """Forget so many jobs of a member's closed accounts that have ended."""
    if live is not None:
        _expire_left(connection, member_id, live, now)
    rows = connection.execute(
        f"SELECT id FROM jobs WHERE {_THEIRS} AND {_ENDED} LIMIT ?2", (member_id, at_most)
    ).fetchall()
    originals: set[str] = set()
    files: list[str] = []
    for row in rows:
        originals |= _originals_around(connection, row["id"])
        files += _delete_images(connection, row["id"])
    connection.executemany(
        f"UPDATE jobs SET {_WIPED}, owner_id = 0, forgotten_at = coalesce(forgotten_at, ?) WHERE id = ?",
        [(now, row["id"]) for row in rows],
    )
    left = connection.execute(
        f"SELECT count(*) FROM jobs INDEXED BY jobs_by_state WHERE {_OPEN} AND {_THEIRS}", (member_id,)
    )
    return Forgotten(len(rows), files, originals, int(left.fetchone()[0]))


def _expire_left(connection: sqlite3.Connection, member_id: int, live: Collection[int], now: int) -> None:
    """End what a member's closed accounts have drawn and nobody carries any more, giving its credits back."""
    rows = connection.execute(
        f"SELECT id FROM jobs INDEXED BY jobs_by_state WHERE {_OPEN} AND state IN ('rendered', 'delivering')"
        f" AND {_THEIRS}",
        (member_id,),
    ).fetchall()
    for row in rows:
        if row["id"] not in live:
            jobs.ended(connection, row["id"], "expired", error_code="forgotten", spent=0, now=now)


def _delete_images(connection: sqlite3.Connection, job_id: int) -> list[str]:
    """Mark a job's images as deleted; the files that have to go."""
    rows = connection.execute("SELECT file FROM images WHERE job_id = ? AND file IS NOT NULL", (job_id,)).fetchall()
    connection.execute(
        "UPDATE images SET state = 'deleted', file = NULL WHERE job_id = ? AND state = 'rendered'", (job_id,)
    )
    return [row["file"] for row in rows]


def _originals_around(connection: sqlite3.Connection, job_id: int) -> set[str]:
    """What a job was made from, and what was made from its images."""
    rows = connection.execute(
        "SELECT json_extract(spec, '$.source') FROM jobs"
        " WHERE id = ?1 OR parent_image_id IN (SELECT id FROM images WHERE job_id = ?1)"
        " UNION SELECT json_extract(spec, '$.mask') FROM jobs WHERE id = ?1",
        (job_id,),
    )
    return {row[0] for row in rows if row[0]}
