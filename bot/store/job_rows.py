"""Reads jobs: everything that is needed to continue, deliver, charge or explain one. All functions only read."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.accounts import DAY
from bot.store.job_states import HAS_ENDED, IS_OPEN, IS_WAITING, OPEN_JOBS, CancelCause, State
from bot.store.jobs import ImageState
from bot.store.reply_tokens import ReplyToken, Visibility

_IS_DUE = f"due_at <= :now AND (state = 'rendered' OR {HAS_ENDED})"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image of a job. ``charge`` in 1/100 credit, None until the image has ended; ``error`` is for the member."""

    id: str
    position: int
    seed: int
    state: ImageState
    file: str | None
    charge: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job with its images in order. Credits in 1/100, times in UTC seconds.

    ``reply`` is None if the job was asked for by a message, or if its token has expired; ``by_interaction`` tells the
    two apart. ``attempts`` counts the times that the process or the device stopped while the job was on the device.
    """

    id: int
    event_id: int
    state: State
    owner_id: int
    scope_id: int
    guild_id: int | None
    channel_id: int
    visibility: Visibility
    kind: str
    spec: str
    credits: int
    nonce: str
    reply: ReplyToken | None
    by_interaction: bool
    created_at: int
    cancelled_at: int | None
    cancel_cause: CancelCause | None
    rendered_at: int | None
    ended_at: int | None
    attempts: int
    delivery_attempts: int
    device_ms: int
    concurrent_jobs: int | None
    response_file_limit: int | None
    parent_image_id: str | None
    original_link: str | None
    defaults: str
    truncated: bool
    spoiler: bool
    due_at: int | None
    card_message_id: int | None
    result_message_id: int | None
    note: str
    images: tuple[ImageRow, ...]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A result that could not be posted yet. ``due_at`` is the next attempt, None if its owner has to ask for it."""

    job_id: int
    rendered_at: int
    due_at: int | None


@dataclass(frozen=True, slots=True)
class ToDo:
    """What there is to do at a time.

    ``due`` are jobs with something to do in Discord, or whose day is over. ``in_progress`` are the states of the jobs
    that should be worked on, or waiting to be, by id.
    """

    due: tuple[int, ...]
    in_progress: dict[int, State]


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


def find(connection: sqlite3.Connection, job_id: int) -> JobRow | None:
    """Return the job, None if there is none."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return _job_row(connection, row) if row is not None else None


def queued(connection: sqlite3.Connection) -> list[JobRow]:
    """Return all queued jobs, in the order in which they were admitted."""
    rows = connection.execute(f"SELECT * FROM {OPEN_JOBS} WHERE {IS_OPEN} AND state = 'queued' ORDER BY id")
    return [_job_row(connection, row) for row in rows.fetchall()]


def to_do(connection: sqlite3.Connection, now: int, at_most: int) -> ToDo:
    """Return what the delivery loop has to do; at most ``at_most`` of the jobs that are due, the oldest first."""
    due = connection.execute(
        f"SELECT id FROM jobs INDEXED BY jobs_due WHERE {_IS_DUE} ORDER BY due_at, id LIMIT :most",
        {"now": now, "most": at_most},
    )
    overdue = connection.execute(
        f"SELECT id FROM {OPEN_JOBS} WHERE {IS_OPEN} AND state = 'rendered' AND rendered_at <= ?", (now - DAY,)
    )
    in_progress = connection.execute(
        f"SELECT id, state FROM {OPEN_JOBS} WHERE {IS_OPEN} AND state <> 'rendered' ORDER BY id"
    )
    return ToDo(
        tuple(row["id"] for row in (*due, *overdue)),
        {row["id"]: row["state"] for row in in_progress},
    )


def undelivered_of(connection: sqlite3.Connection, member_id: int) -> list[Undelivered]:
    """Return a member's results that could not be posted at the first attempt, the oldest first."""
    rows = connection.execute(
        f"SELECT id, rendered_at, due_at FROM {OPEN_JOBS} WHERE {IS_OPEN} AND state = 'rendered'"
        " AND delivery_attempts > 0 AND owner_id = ? ORDER BY id",
        (member_id,),
    )
    return [Undelivered(row["id"], row["rendered_at"], row["due_at"]) for row in rows]


def _job_row(connection: sqlite3.Connection, row: sqlite3.Row) -> JobRow:
    images = connection.execute(
        "SELECT id, position, seed, state, file, charge, error FROM images WHERE job_id = ? ORDER BY position",
        (row["id"],),
    )
    return JobRow(
        id=row["id"],
        event_id=row["source_id"],
        state=row["state"],
        owner_id=row["owner_id"],
        scope_id=row["scope_id"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        visibility=row["visibility"],
        kind=row["kind"],
        spec=row["spec"],
        credits=row["credits"],
        nonce=row["nonce"],
        reply=ReplyToken.of_row(row),
        by_interaction=row["application_id"] is not None,
        created_at=row["created_at"],
        cancelled_at=row["cancelled_at"],
        cancel_cause=row["cancel_cause"],
        rendered_at=row["rendered_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        delivery_attempts=row["delivery_attempts"],
        device_ms=row["device_ms"],
        concurrent_jobs=row["concurrent_jobs"],
        response_file_limit=row["response_file_limit"],
        parent_image_id=row["parent_image_id"],
        original_link=row["original_link"],
        defaults=row["defaults"],
        truncated=bool(row["truncated"]),
        spoiler=bool(row["spoiler"]),
        due_at=row["due_at"],
        card_message_id=row["progress_message_id"],
        result_message_id=row["result_message_id"],
        note=row["note"],
        images=tuple(ImageRow(**dict(image)) for image in images),
    )


def credits_charged(row: JobRow) -> int:
    """Return the credits (1/100) that a cancelled job cost."""
    return min(row.credits, sum(image.charge or 0 for image in row.images))
