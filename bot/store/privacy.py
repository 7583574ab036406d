"""Deletes members' data and keeps the sums. Unless they are async, functions are part of a write transaction.

A forgotten job keeps its size, seed, state and credits; its prompts become empty and its images 'deleted'. A job
forgotten at its owner's wish has the owner 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bot.store import drafts, images, jobs, ledger, open_cards
from bot.store.accounts import DAY, close_account, unlink_closed
from bot.store.database import Database
from bot.store.job_states import HAS_ENDED, IS_OPEN, IS_UNDELIVERED, OPEN_JOBS

_WIPED = (
    "spec = json_replace(spec, '$.prompt', '', '$.negative_prompt', '', '$.source', '', '$.mask', ''),"
    " interaction_token = NULL, token_expires_at = NULL, note = '', defaults = '', original_link = NULL"
)
_OF_CLOSED_ACCOUNTS = (
    "owner_id = :member AND account_id IN (SELECT id FROM accounts WHERE member_id = :member AND closed_at IS NOT NULL)"
)
_OVER_ACCOUNTS = "account_id IN (SELECT id FROM accounts WHERE closed_at <= :closed_by)"
_HAS_MEMBER = "account_id IN (SELECT id FROM accounts WHERE member_id IS NOT NULL)"
# SQLite uses the index only for conditions worded as in it.
_LINKED_JOBS = "jobs INDEXED BY jobs_linked"
_IS_LINKED = "owner_id = 0 AND source_id > 0"
_PAGE = 1000
"""Rows that a query reads at once. Every other query waits for it."""
BATCH = 200
"""Jobs forgotten in one transaction, unless the caller says otherwise. Every other write waits for it."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The number of forgotten jobs, and what the caller has to do about their files.

    ``files`` are images' files to remove. ``originals`` are names of input images and masks to remove unless
    :func:`kept_originals` still has them. ``still_open`` is the number of jobs that have not ended and are left to
    :func:`forget_closed`; ``uploads`` the number of pictures that were given to ``/details``.
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
    """A result or a progress card in Discord. The bot may be unable to delete a ``private`` (ephemeral) one."""

    job_id: int
    channel_id: int
    message_id: int
    private: bool


def forget_old(connection: sqlite3.Connection, *, ended_before: int, at_most: int, now: int) -> Forgotten:
    """Forget the prompts and images of at most ``at_most`` jobs that ended before a time (UTC seconds).

    Deletes as many rows of uploads that were made before that time; call it again if there were as many of either.
    """
    rows = connection.execute(
        "SELECT id FROM jobs WHERE forgotten_at IS NULL AND ended_at < ? ORDER BY ended_at LIMIT ?",
        (ended_before, at_most),
    ).fetchall()
    uploads = connection.execute(
        "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE created_at < ? LIMIT ?)", (ended_before, at_most)
    ).rowcount
    files = [file for row in rows for file in images.delete_of_job(connection, row["id"])]
    connection.executemany(
        f"UPDATE jobs SET {_WIPED}, forgotten_at = ? WHERE id = ?", [(now, row["id"]) for row in rows]
    )
    return Forgotten(len(rows), files, uploads=uploads)


def forget_member(
    connection: sqlite3.Connection, member_id: int, now: int, live: Collection[int] = (), at_most: int = BATCH
) -> Forgotten:
    """Forget a member, except for sums and for their id in limits, blocks and the audit.

    Closes their account, which :func:`unlink` unlinks a day later. Forgets at most ``at_most`` of their jobs; if that
    many were forgotten, call :func:`forget_closed` for the rest. ``live`` is as there.
    """
    deleted = connection.execute("DELETE FROM uploads WHERE owner_id = ? RETURNING source", (member_id,)).fetchall()
    open_cards.forget_member(connection, member_id)
    drafts.forget_member(connection, member_id)
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE blocks SET reason = NULL WHERE member_id = ?", (member_id,))
    connection.execute("UPDATE audit SET reason = NULL WHERE member_id = ?", (member_id,))
    close_account(connection, member_id, now)
    uploads = Forgotten(originals={row["source"] for row in deleted}, uploads=len(deleted))
    return uploads + _forget_jobs(connection, member_id, now, live, at_most)


def forget_closed(
    connection: sqlite3.Connection,
    now: int,
    member_id: int | None = None,
    live: Collection[int] | None = None,
    at_most: int = BATCH,
) -> Forgotten:
    """Forget at most ``at_most`` ended jobs of closed accounts: one member's, or everybody's if ``member_id`` is None.

    First ends undelivered jobs as expired, except those whose ids are in ``live``, which the process is still working
    on. If ``live`` is None, undelivered jobs are left to the delivery loop.
    """
    rows = connection.execute(
        "SELECT DISTINCT member_id FROM accounts"
        " WHERE closed_at IS NOT NULL AND member_id IS NOT NULL AND (:member IS NULL OR member_id = :member)",
        {"member": member_id},
    ).fetchall()
    found = Forgotten()
    for row in rows:
        found += _forget_jobs(connection, row["member_id"], now, live, at_most - found.jobs)
    return found


def unlink_jobs(connection: sqlite3.Connection, now: int, at_most: int = BATCH) -> int:
    """Remove from at most ``at_most`` forgotten jobs of accounts that were closed a day ago what leads to the member.

    Returns the number of jobs. Call it until there are fewer, before :func:`unlink`.
    """
    cursor = connection.execute(
        "UPDATE jobs SET source_id = -id, progress_message_id = NULL, result_channel_id = NULL,"
        " result_message_id = NULL, channel_id = CASE WHEN guild_id IS NULL THEN 0 ELSE channel_id END"
        f" WHERE id IN (SELECT id FROM {_LINKED_JOBS} WHERE {_IS_LINKED} AND {_OVER_ACCOUNTS} LIMIT :at_most)",
        {"closed_by": now - DAY, "at_most": at_most},
    )
    return cursor.rowcount


def unlink(connection: sqlite3.Connection, now: int) -> int:
    """Remove the member from accounts that were closed a day ago, and every id from which they could be found.

    Accounts with jobs that are not forgotten yet keep their member until those are. Returns the number of accounts.
    """
    closed = {"closed_by": now - DAY}
    unlink_jobs(connection, now, at_most=-1)  # those that were forgotten since
    # A channel of direct messages belongs to one member: their usage there is summed under channel 0.
    direct = f"scope_id = 0 AND channel_id <> 0 AND {_OVER_ACCOUNTS} AND {_HAS_MEMBER}"
    connection.execute(
        "INSERT INTO usage_days (scope_id, day, account_id, channel_id, kind, jobs, images, credits, device_ms)"
        " SELECT scope_id, day, account_id, 0, kind, sum(jobs), sum(images), sum(credits), sum(device_ms)"
        f" FROM usage_days INDEXED BY usage_days_by_account WHERE {direct} GROUP BY day, account_id, kind"
        " ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs, images = images + excluded.images,"
        "  credits = credits + excluded.credits, device_ms = device_ms + excluded.device_ms",
        closed,
    )
    connection.execute(f"DELETE FROM usage_days INDEXED BY usage_days_by_account WHERE {direct}", closed)
    ledger.carry_grants(connection, now)
    return unlink_closed(connection, now)


def drop_expired_blocks(connection: sqlite3.Connection, now: int) -> None:
    """Delete blocks that have run out, with their reasons."""
    connection.execute("DELETE FROM blocks WHERE until <= ?", (now,))


async def posted_of(database: Database, member_id: int) -> AsyncIterator[PostedMessage]:
    """Yield the messages of a member's forgotten jobs, oldest first; none once their account is unlinked.

    One message a job: its result, or if there is none its progress card. They are read as far as they are asked for.
    """
    for account in await database.query("SELECT id FROM accounts WHERE member_id = ? ORDER BY id", (member_id,)):
        last = 0
        while rows := await database.query(
            "SELECT id AS job_id, coalesce(result_channel_id, channel_id) AS channel_id,"
            " coalesce(result_message_id, progress_message_id) AS message_id, visibility = 'private' AS private"
            f" FROM {_LINKED_JOBS} WHERE {_IS_LINKED} AND account_id = ? AND id > ?"
            " AND coalesce(result_message_id, progress_message_id) IS NOT NULL ORDER BY id LIMIT ?",
            (account["id"], last, BATCH),
        ):
            for row in rows:
                yield PostedMessage(row["job_id"], row["channel_id"], row["message_id"], bool(row["private"]))
            last = rows[-1]["job_id"]


def message_gone(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that the message of a job from :func:`posted_of` was deleted in Discord."""
    connection.execute(
        "UPDATE jobs SET result_channel_id = NULL, result_message_id = NULL, progress_message_id = NULL WHERE id = ?",
        (job_id,),
    )


def empty_log(path: Path) -> None:
    """Move the write-ahead log into the database's file and truncate it, so that it holds no deleted data. Blocks.

    Does nothing if a reader is still using the log after two seconds.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA busy_timeout = 2000; PRAGMA wal_checkpoint(TRUNCATE);")


async def kept_files(database: Database) -> set[str]:
    """Return the names of all files of images."""
    names: set[str] = set()
    last = ""
    while rows := await database.query("SELECT id, file FROM images WHERE id > ? ORDER BY id LIMIT ?", (last, _PAGE)):
        names.update(row["file"] for row in rows if row["file"] is not None)
        last = rows[-1]["id"]
    return names


def with_row(connection: sqlite3.Connection, ids: Collection[str]) -> set[str]:
    """Return those of the ids that are of an image or were: rows of deleted images stay. Part of a read."""
    find = "SELECT id FROM images WHERE id = ?"
    return {name for name in ids if connection.execute(find, (name,)).fetchone() is not None}


async def kept_originals(database: Database) -> set[str]:
    """Return the names of the input images and masks that uploads and unforgotten jobs still need.

    An edit no longer needs its input if that was an image of the bot that was deleted, or whose owner had their data
    deleted. It still needs an image that was forgotten for its age.
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
    """Forget at most ``at_most`` ended jobs of a member's closed accounts."""
    if live is not None:
        _expire_left(connection, member_id, live, now)
    rows = connection.execute(
        f"SELECT id FROM jobs WHERE {_OF_CLOSED_ACCOUNTS} AND {HAS_ENDED} LIMIT :count",
        {"member": member_id, "count": at_most},
    ).fetchall()
    originals: set[str] = set()
    files: list[str] = []
    for row in rows:
        originals |= _originals_around(connection, row["id"])
        files += images.delete_of_job(connection, row["id"])
    connection.executemany(
        f"UPDATE jobs SET {_WIPED}, owner_id = 0, forgotten_at = coalesce(forgotten_at, ?) WHERE id = ?",
        [(now, row["id"]) for row in rows],
    )
    left = connection.execute(
        f"SELECT count(*) FROM {OPEN_JOBS} WHERE {IS_OPEN} AND {_OF_CLOSED_ACCOUNTS}",
        {"member": member_id},
    )
    return Forgotten(len(rows), files, originals, int(left.fetchone()[0]))


def _expire_left(connection: sqlite3.Connection, member_id: int, live: Collection[int], now: int) -> None:
    """Expire undelivered jobs of a member's closed accounts that are not ``live``. What was generated is charged."""
    rows = connection.execute(
        f"SELECT id FROM {OPEN_JOBS} WHERE {IS_OPEN} AND {IS_UNDELIVERED} AND {_OF_CLOSED_ACCOUNTS}",
        {"member": member_id},
    ).fetchall()
    for row in rows:
        if row["id"] not in live:
            jobs.forgotten(connection, row["id"], now)


def _originals_around(connection: sqlite3.Connection, job_id: int) -> set[str]:
    """Return the names of a job's input image and mask, and of the inputs of edits of its images."""
    rows = connection.execute(
        "SELECT json_extract(spec, '$.source') FROM jobs"
        " WHERE id = :job OR parent_image_id IN (SELECT id FROM images WHERE job_id = :job)"
        " UNION SELECT json_extract(spec, '$.mask') FROM jobs WHERE id = :job",
        {"job": job_id},
    )
    return {row[0] for row in rows if row[0]}
