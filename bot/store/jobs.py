"""Jobs and their images. Each function is part of one write transaction, unless it is async and reads."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from bot.store import ledger, usage
from bot.store.accounts import account_of
from bot.store.database import Database

State = Literal["queued", "running", "rendered", "delivering", "delivered", "failed", "cancelled", "expired"]
EndState = Literal["failed", "cancelled", "expired"]
Visibility = Literal["public", "private"]

_NEXT: dict[State, tuple[State, ...]] = {
    "queued": ("running", "failed", "cancelled"),
    "running": ("rendered", "failed", "cancelled"),
    "rendered": ("delivering", "expired"),
    "delivering": ("delivered", "rendered", "expired"),
    "delivered": (),
    "failed": (),
    "cancelled": (),
    "expired": (),
}
"""The life of a job: which states may follow which."""


class StateError(Exception):
    """A job was asked to move to a state that cannot follow its own."""


@dataclass(frozen=True, slots=True)
class ReplyToken:
    """The way back to an interaction's own response; ``expires_at`` in UTC seconds."""

    application_id: int
    token: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to insert. ``credits`` in 1/100; ``images`` holds each image's public id and seed, in order."""

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
    """One image of a job; ``file`` is its name in the image folder once it is rendered."""

    id: str
    position: int
    seed: int
    state: str
    file: str | None


def exists(connection: sqlite3.Connection, event_id: int) -> bool:
    """Whether an interaction or message has already made a job."""
    return connection.execute("SELECT 1 FROM jobs WHERE source_id = ?", (event_id,)).fetchone() is not None


def count_open(connection: sqlite3.Connection, owner_id: int, scope_id: int) -> int:
    """How many of a member's jobs wait or are drawn in one scope."""
    row = connection.execute(
        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND owner_id = ? AND scope_id = ?",
        (owner_id, scope_id),
    )
    return int(row.fetchone()[0])


def count_queue(connection: sqlite3.Connection) -> int:
    """How many of everybody's jobs wait or are drawn; what waits in a paused server is in nobody's way."""
    row = connection.execute(
        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND NOT EXISTS (SELECT 1 FROM guild_settings"
        " WHERE guild_settings.guild_id = jobs.guild_id AND name = 'paused' AND value = 'on')"
    )
    return int(row.fetchone()[0])


def insert(connection: sqlite3.Connection, new: NewJob, *, granted: int = 0) -> int | None:
    """Insert a job with its images and reserve its credits, ``granted`` of them from what an admin gave.

    Its id, or None where its source already made one. Whether it may be is :mod:`bot.store.admission`'s business.
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
    connection.execute("UPDATE jobs SET progress_message_id = ? WHERE id = ?", (message_id, job_id))


def started(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """The first image is on the device."""
    _move(connection, job_id, "running")
    connection.execute("UPDATE jobs SET started_at = ?, attempts = attempts + 1 WHERE id = ?", (now, job_id))


def image_ended(
    connection: sqlite3.Connection, job_id: int, position: int, state: str, file: str | None, device_ms: int
) -> None:
    """One image was rendered, failed or was cancelled; the device time counts in every case."""
    connection.execute(
        "UPDATE images SET state = ?, file = ?, device_ms = ? WHERE job_id = ? AND position = ?",
        (state, file, device_ms, job_id, position),
    )
    connection.execute("UPDATE jobs SET device_ms = device_ms + ? WHERE id = ?", (device_ms, job_id))


def rendered(connection: sqlite3.Connection, job_id: int) -> None:
    _move(connection, job_id, "rendered")


def delivering(connection: sqlite3.Connection, job_id: int) -> None:
    """Committed before the result is posted: whoever finds a job in this state must look before posting again."""
    _move(connection, job_id, "delivering")


def delivered(
    connection: sqlite3.Connection, job_id: int, channel_id: int, message_id: int, spent: int, now: int
) -> None:
    """The result is posted: ``spent`` credits are settled, the rest of the reservation is given back."""
    _move(connection, job_id, "delivered")
    connection.execute(
        "UPDATE jobs SET result_channel_id = ?, result_message_id = ? WHERE id = ?", (channel_id, message_id, job_id)
    )
    _close(connection, job_id, spent, now)


def undelivered(connection: sqlite3.Connection, job_id: int) -> None:
    """Nothing was posted: the job stays rendered, to be delivered later."""
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
    """The job ends without a result: ``spent`` credits are settled, the rest is given back."""
    _move(connection, job_id, state)
    connection.execute("UPDATE jobs SET error_code = ? WHERE id = ?", (error_code, job_id))
    _close(connection, job_id, spent, now)


def interrupt_all(connection: sqlite3.Connection, now: int) -> int:
    """End what a process that died left queued or running, giving its credits back; how many jobs there were."""
    rows = connection.execute("SELECT id FROM jobs WHERE state IN ('queued', 'running')").fetchall()
    for row in rows:
        ended(connection, row["id"], "failed", error_code="interrupted", spent=0, now=now)
    return len(rows)


def wipe_tokens(connection: sqlite3.Connection, now: int) -> None:
    """Forget the interaction tokens that have expired."""
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
    if row is None or to not in _NEXT[row["state"]]:
        raise StateError(f"job {job_id} cannot go from {row['state'] if row else 'nowhere'} to {to}")
    connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (to, job_id))


def _close(connection: sqlite3.Connection, job_id: int, spent: int, now: int) -> None:
    """Settle the ledger and forget the way back to the interaction."""
    settled = ledger.close(connection, job_id, spent, now)
    usage.add(connection, job_id, settled, now)
    connection.execute(
        "UPDATE jobs SET ended_at = ?, interaction_token = NULL, token_expires_at = NULL WHERE id = ?", (now, job_id)
    )
