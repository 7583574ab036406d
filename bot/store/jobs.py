"""Jobs and their images. Unless they are async, functions are part of a write transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from bot.store import ledger, usage
from bot.store.accounts import account_of
from bot.store.database import Database
from bot.store.guild_settings import PAUSED
from bot.store.job_states import IS_WAITING, NEXT, EndState, State

Visibility = Literal["public", "private"]


class StateError(Exception):
    """A job was asked to move to a state that may not follow its current one."""


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """What is needed to edit an interaction's response until ``expires_at`` (UTC seconds)."""

    application_id: int
    token: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to insert. ``credits`` in 1/100; ``images`` are pairs of public id and seed, in order."""

    event_id: int
    owner_id: int
    scope_id: int
    guild_id: int | None
    channel_id: int
    visibility: Visibility
    kind: str
    spec: str
    credits: int
    images: tuple[tuple[str, int], ...]
    nonce: str
    reply: ReplyToken | None
    created_at: int
    parent_image_id: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a job. ``file`` is its file's name in the image folder, None until it is rendered."""

    id: str
    position: int
    seed: int
    state: str
    file: str | None


def exists(connection: sqlite3.Connection, event_id: int) -> bool:
    """Return whether the interaction or message with this id has already made a job."""
    return connection.execute("SELECT 1 FROM jobs WHERE source_id = ?", (event_id,)).fetchone() is not None


def count_open(connection: sqlite3.Connection, owner_id: int, scope_id: int) -> int:
    """Return the number of a member's queued and running jobs in one scope."""
    row = connection.execute(
        f"SELECT count(*) FROM jobs WHERE {IS_WAITING} AND owner_id = ? AND scope_id = ?",
        (owner_id, scope_id),
    )
    return int(row.fetchone()[0])


def count_queue(connection: sqlite3.Connection) -> int:
    """Return the number of all queued and running jobs, without those of paused servers."""
    row = connection.execute(
        f"SELECT count(*) FROM jobs WHERE {IS_WAITING} AND NOT EXISTS (SELECT 1 FROM guild_settings"
        " WHERE guild_settings.guild_id = jobs.guild_id AND name = ? AND value = 'on')",
        (PAUSED,),
    )
    return int(row.fetchone()[0])


def insert(connection: sqlite3.Connection, new: NewJob, *, granted: int = 0) -> int | None:
    """Insert a job with its images and reserve its credits, ``granted`` of them from an admin's grant.

    Returns the job's id; None if its event has already made a job. Checks no limits: see :mod:`bot.store.admission`.
    """
    reply = new.reply
    cursor = connection.execute(
        "INSERT INTO jobs (source_id, owner_id, scope_id, guild_id, channel_id, visibility, kind, spec, count, credits,"
        " nonce, application_id, interaction_token, token_expires_at, created_at, parent_image_id, account_id, granted)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (source_id) DO NOTHING RETURNING id",
        (
            new.event_id,
            new.owner_id,
            new.scope_id,
            new.guild_id,
            new.channel_id,
            new.visibility,
            new.kind,
            new.spec,
            len(new.images),
            new.credits,
            new.nonce,
            reply.application_id if reply else None,
            reply.token if reply else None,
            reply.expires_at if reply else None,
            new.created_at,
            new.parent_image_id,
            account_of(connection, new.owner_id),
            granted,
        ),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    job_id = int(row["id"])
    connection.executemany(
        "INSERT INTO images (id, job_id, position, seed) VALUES (?, ?, ?, ?)",
        [(image_id, job_id, position, seed) for position, (image_id, seed) in enumerate(new.images)],
    )
    ledger.reserve(connection, job_id, new.credits, granted, new.created_at)
    return job_id


def card_shown(connection: sqlite3.Connection, job_id: int, message_id: int) -> None:
    """Note the id of the job's progress card."""
    connection.execute("UPDATE jobs SET progress_message_id = ? WHERE id = ?", (message_id, job_id))


def started(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """Note that the job's first image is on the device, which counts as an attempt."""
    _move(connection, job_id, "running")
    connection.execute("UPDATE jobs SET started_at = ?, attempts = attempts + 1 WHERE id = ?", (now, job_id))


def image_ended(
    connection: sqlite3.Connection, job_id: int, position: int, state: str, file: str | None, device_ms: int
) -> None:
    """Note that an image was rendered, failed or was cancelled. The device time is added in every case."""
    connection.execute(
        "UPDATE images SET state = ?, file = ?, device_ms = ? WHERE job_id = ? AND position = ?",
        (state, file, device_ms, job_id, position),
    )
    connection.execute("UPDATE jobs SET device_ms = device_ms + ? WHERE id = ?", (device_ms, job_id))


def rendered(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that all images have ended, at least one of them rendered."""
    _move(connection, job_id, "rendered")


def delivering(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that the result is about to be posted. After a crash, a job in this state may have been posted already."""
    _move(connection, job_id, "delivering")


def delivered(
    connection: sqlite3.Connection, job_id: int, channel_id: int, message_id: int, spent: int, now: int
) -> None:
    """Note that the result is posted; settle ``spent`` credits (1/100) and give back the rest of the reservation."""
    _move(connection, job_id, "delivered")
    connection.execute(
        "UPDATE jobs SET result_channel_id = ?, result_message_id = ? WHERE id = ?", (channel_id, message_id, job_id)
    )
    _close(connection, job_id, spent, now)


def undelivered(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that posting failed: the job is rendered again, to be delivered later."""
    _move(connection, job_id, "rendered")


def ended(
    connection: sqlite3.Connection,
    job_id: int,
    state: EndState,
    *,
    error_code: str | None,
    spent: int,
    now: int,
) -> None:
    """End the job without a result; settle ``spent`` credits (1/100) and give back the rest of the reservation."""
    _move(connection, job_id, state)
    connection.execute("UPDATE jobs SET error_code = ? WHERE id = ?", (error_code, job_id))
    _close(connection, job_id, spent, now)


def interrupt_all(connection: sqlite3.Connection, now: int) -> int:
    """Fail the jobs that an ended process left queued or running, giving their credits back. Returns their number."""
    rows = connection.execute(f"SELECT id FROM jobs WHERE {IS_WAITING}").fetchall()
    for row in rows:
        ended(connection, row["id"], "failed", error_code="interrupted", spent=0, now=now)
    return len(rows)


def wipe_tokens(connection: sqlite3.Connection, now: int) -> None:
    """Delete the interaction tokens that have expired."""
    connection.execute(
        "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL WHERE token_expires_at <= ?", (now,)
    )


async def images_of(database: Database, job_id: int) -> list[Image]:
    rows = await database.query(
        "SELECT id, position, seed, state, file FROM images WHERE job_id = ? ORDER BY position", (job_id,)
    )
    return [Image(**dict(row)) for row in rows]


def _move(connection: sqlite3.Connection, job_id: int, to: State) -> None:
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or to not in NEXT[row["state"]]:
        raise StateError(f"job {job_id} cannot go from {row['state'] if row else 'nowhere'} to {to}")
    connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (to, job_id))


def _close(connection: sqlite3.Connection, job_id: int, spent: int, now: int) -> None:
    """Settle the ledger, count the job's usage and delete its interaction token."""
    settled = ledger.close(connection, job_id, spent, now)
    usage.add(connection, job_id, settled, now)
    connection.execute(
        "UPDATE jobs SET ended_at = ?, interaction_token = NULL, token_expires_at = NULL WHERE id = ?", (now, job_id)
    )
