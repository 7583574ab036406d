"""Jobs and their images: inserts them and moves them through their states. Functions are part of a write transaction.

:mod:`bot.store.job_rows` reads them, :mod:`bot.store.recovery` continues those of an ended process.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Literal

from bot.store import images, job_ids, ledger, open_cards, usage
from bot.store.accounts import account_of
from bot.store.job_states import NEXT, UNDELIVERED, EndState, State
from bot.store.reply_tokens import ReplyToken, Visibility
from bot.store.statements import insert_statement

ImageState = Literal["queued", "rendered", "failed", "cancelled", "deleted"]

_HAS_CARD = "(progress_message_id IS NOT NULL OR interaction_token IS NOT NULL)"
"""The job has a card; or perhaps one that was not noted, which can be found by its token."""


class StateError(Exception):
    """A job was asked to move to a state that may not follow its current one."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to insert. ``credits`` in 1/100; ``images`` are pairs of public id and seed, in order.

    The other fields are those of :class:`bot.jobs.job.JobRequest`.
    """

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
    response_file_limit: int | None = None
    original_link: str | None = None
    defaults: str = ""


@dataclass(frozen=True, slots=True)
class ImageEnd:
    """How an image ended: its ``charge`` in 1/100 credit, and the milliseconds that it took on the device.

    A rendered one has a ``file``, a failed one an ``error`` for the member. ``truncated``: the model could not read
    all of the prompt.
    """

    state: ImageState
    charge: int
    device_ms: int
    file: str | None = None
    error: str | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """What ending a job came to: the ``credits`` (1/100) that were settled, and names of files to remove."""

    credits: int
    files: list[str] = field(default_factory=list)


def insert(
    connection: sqlite3.Connection,
    new: NewJob,
    *,
    granted: int = 0,
    concurrent_jobs: int | None = None,
    spoiler: bool = False,
) -> int | None:
    """Insert a job with its images and reserve its credits, ``granted`` of them from an admin's grant.

    Its open card, if its event has one, becomes the job's. Returns the job's id; None if its event has already made a
    job. Checks no limits: see :mod:`bot.store.admission`.
    """
    reply = new.reply
    values: dict[str, object] = {
        "id": job_ids.next_id(connection),
        "source_id": new.event_id,
        "owner_id": new.owner_id,
        "scope_id": new.scope_id,
        "guild_id": new.guild_id,
        "channel_id": new.channel_id,
        "visibility": new.visibility,
        "kind": new.kind,
        "spec": new.spec,
        "count": len(new.images),
        "credits": new.credits,
        "nonce": new.nonce,
        "application_id": reply.application_id if reply else None,
        "interaction_token": reply.token if reply else None,
        "token_expires_at": reply.expires_at if reply else None,
        "created_at": new.created_at,
        "parent_image_id": new.parent_image_id,
        "account_id": account_of(connection, new.owner_id),
        "granted": granted,
        "response_file_limit": new.response_file_limit,
        "original_link": new.original_link,
        "defaults": new.defaults,
        "spoiler": int(spoiler),
        "concurrent_jobs": concurrent_jobs,
    }
    insertion = insert_statement("jobs", tuple(values))
    row = connection.execute(f"{insertion} ON CONFLICT (source_id) DO NOTHING RETURNING id", values).fetchone()
    if row is None:
        return None
    job_id = int(row["id"])
    image_rows = [(image_id, job_id, position, seed) for position, (image_id, seed) in enumerate(new.images)]
    connection.executemany("INSERT INTO images (id, job_id, position, seed) VALUES (?, ?, ?, ?)", image_rows)
    ledger.reserve(connection, job_id, new.credits, granted, new.created_at)
    card_message_id = open_cards.close(connection, new.event_id)
    if card_message_id is not None:
        card_shown(connection, job_id, card_message_id)
    return job_id


def card_shown(connection: sqlite3.Connection, job_id: int, message_id: int) -> None:
    """Note the id of the job's progress card."""
    connection.execute("UPDATE jobs SET progress_message_id = ? WHERE id = ?", (message_id, job_id))


def card_moved(connection: sqlite3.Connection, job_id: int, message_id: int) -> None:
    """Note that an ordinary message has taken the place of the card, whose interaction has expired."""
    card_shown(connection, job_id, message_id)
    connection.execute(
        "UPDATE jobs SET application_id = NULL, interaction_token = NULL, token_expires_at = NULL WHERE id = ?",
        (job_id,),
    )


def started(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """Note that one of the job's images is on the device."""
    _move(connection, job_id, "running")
    connection.execute("UPDATE jobs SET started_at = coalesce(started_at, ?) WHERE id = ?", (now, job_id))


def image_ended(connection: sqlite3.Connection, job_id: int, position: int, end: ImageEnd) -> None:
    """Note how an image ended. Its device time is added to the job's."""
    connection.execute(
        "UPDATE images SET state = ?, file = ?, device_ms = ?, charge = ?, error = ? WHERE job_id = ? AND position = ?",
        (end.state, end.file, end.device_ms, end.charge, end.error, job_id, position),
    )
    connection.execute(
        "UPDATE jobs SET device_ms = device_ms + ?, truncated = max(truncated, ?) WHERE id = ?",
        (end.device_ms, int(end.truncated), job_id),
    )


def interrupted(connection: sqlite3.Connection, job_id: int, *, count_attempt: bool) -> None:
    """Queue a running job again. ``count_attempt`` if it may be the cause of the interruption.

    Does nothing to a job that is queued.
    """
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is not None and row["state"] == "queued":
        return
    _move(connection, job_id, "queued")
    connection.execute("UPDATE jobs SET attempts = attempts + ? WHERE id = ?", (int(count_attempt), job_id))


def rendered(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """Note that all images have ended, at least one of them rendered; the job is due to be delivered."""
    _move(connection, job_id, "rendered")
    connection.execute("UPDATE jobs SET rendered_at = ?, due_at = ? WHERE id = ?", (now, now, job_id))


def delivering(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that the result is about to be posted. After a crash, a job in this state may have been posted already."""
    _move(connection, job_id, "delivering")
    connection.execute(
        "UPDATE jobs SET delivery_attempts = delivery_attempts + 1, due_at = NULL WHERE id = ?", (job_id,)
    )


def undelivered(connection: sqlite3.Connection, job_id: int, due_at: int | None) -> None:
    """Note that posting failed; the next attempt is at ``due_at``, or when the owner asks for it if that is None."""
    _move(connection, job_id, "rendered")
    connection.execute("UPDATE jobs SET due_at = ? WHERE id = ?", (due_at, job_id))


def delivered(connection: sqlite3.Connection, job_id: int, channel_id: int, message_id: int, now: int) -> None:
    """Note that the result is posted; settle the images' charges and give back the rest of the reservation.

    A card other than the result's message is due to be removed.
    """
    _move(connection, job_id, "delivered")
    connection.execute(
        "UPDATE jobs SET result_channel_id = ?, result_message_id = ? WHERE id = ?", (channel_id, message_id, job_id)
    )
    images.posted(connection, job_id, now)
    _close(connection, job_id, images.charges(connection, job_id), now)
    connection.execute(
        f"UPDATE jobs SET due_at = ? WHERE id = ? AND {_HAS_CARD} AND progress_message_id IS NOT ?",
        (now, job_id, message_id),
    )
    _wipe_unneeded_token(connection, job_id)


def ended(
    connection: sqlite3.Connection,
    job_id: int,
    state: EndState,
    *,
    error_code: str | None,
    note: str,
    now: int,
) -> Ended:
    """End the job without a result and give back what it is not charged; ``note`` is what its owner is told.

    A cancelled job is charged for the steps that its images took. Another is charged for the images that were handed
    out or that a member deleted, and its other images are deleted, since they are refunded. The card is due to be
    ended, unless ``note`` is empty and there can be none.
    """
    if state == "cancelled":
        return Ended(_end(connection, job_id, state, images.charges(connection, job_id), error_code, note, now))
    credit = _end(connection, job_id, state, images.charges_of_seen(connection, job_id), error_code, note, now)
    return Ended(credit, images.delete_of_job(connection, job_id))


def forgotten(connection: sqlite3.Connection, job_id: int, now: int) -> None:
    """End an open job whose owner had their data deleted.

    It is charged for everything that was generated, or deleting would be a way to get the credits back.
    """
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
    state: EndState = "expired" if row["state"] in UNDELIVERED else "cancelled"
    _end(connection, job_id, state, images.charges(connection, job_id), "forgotten", "", now)


def _end(
    connection: sqlite3.Connection, job_id: int, state: EndState, spent: int, code: str | None, note: str, now: int
) -> int:
    """End the job and settle ``spent`` of its credits. Returns what was settled."""
    _move(connection, job_id, state)
    settled = _close(connection, job_id, spent, now)
    connection.execute(
        "UPDATE jobs SET error_code = :code, note = :note,"
        f" due_at = CASE WHEN :note <> '' OR {_HAS_CARD} THEN :now END WHERE id = :job",
        {"code": code, "note": note, "now": now, "job": job_id},
    )
    _wipe_unneeded_token(connection, job_id)
    return settled


def postponed(connection: sqlite3.Connection, job_id: int, due_at: int) -> None:
    """Note that an ended job's card could not be ended now."""
    connection.execute("UPDATE jobs SET due_at = ? WHERE id = ?", (due_at, job_id))


def card_ended(connection: sqlite3.Connection, job_id: int) -> None:
    """Note that nothing is left to do in Discord for an ended job, and delete its interaction token."""
    connection.execute(
        "UPDATE jobs SET due_at = NULL, interaction_token = NULL, token_expires_at = NULL WHERE id = ?", (job_id,)
    )


def wipe_tokens(connection: sqlite3.Connection, now: int) -> None:
    """Delete the interaction tokens that have expired."""
    connection.execute(
        "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL WHERE token_expires_at <= ?", (now,)
    )


def _wipe_unneeded_token(connection: sqlite3.Connection, job_id: int) -> None:
    """Delete an ended job's interaction token unless its card has to be ended with it."""
    connection.execute(
        "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL WHERE id = ? AND due_at IS NULL", (job_id,)
    )


def _move(connection: sqlite3.Connection, job_id: int, to: State) -> None:
    row = connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or to not in NEXT[row["state"]]:
        raise StateError(f"job {job_id} cannot go from {row['state'] if row else 'nowhere'} to {to}")
    connection.execute("UPDATE jobs SET state = ? WHERE id = ?", (to, job_id))


def _close(connection: sqlite3.Connection, job_id: int, spent: int, now: int) -> int:
    """Settle the ledger and count the job's usage; return the settled credits. The token is for the card to use."""
    settled = ledger.close(connection, job_id, spent, now)
    usage.add(connection, job_id, settled, now)
    connection.execute("UPDATE jobs SET ended_at = ?, due_at = NULL WHERE id = ?", (now, job_id))
    return settled
