"""Continues the jobs that an ended process left. All functions are part of a write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from bot.store import job_rows, jobs
from bot.store.job_rows import JobRow
from bot.store.job_states import IS_OPEN, OPEN_JOBS, CancelCause
from bot.store.jobs import ImageEnd
from bot.store.reply_tokens import ReplyToken

ATTEMPTS_MAX = 3
"""A job that was on the device each time is given up after so many crashes."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many jobs go on: those queued again, those given up, and those whose result is to be delivered."""

    queued: int
    given_up: int
    rendered: int


def recover(connection: sqlite3.Connection, now: int, *, given_up: str) -> Recovered:
    """Make all open jobs those of a new process, and make everything due now that is to be done in Discord.

    A job that was on the device is queued again, which counts as an attempt; after the last attempt it is given up,
    and its owner told ``given_up``. A job that was being delivered may have been posted: it is looked for first. Jobs
    of members who had their data deleted are ended.
    """
    end_forgotten(connection, now)
    running = _ids(connection, "running")
    lost = sum(requeue(connection, job_id, now, count_attempt=True, given_up=given_up) for job_id in running)
    for job_id in _ids(connection, "delivering"):
        jobs.undelivered(connection, job_id, now)
    connection.execute(f"UPDATE {OPEN_JOBS} SET due_at = ? WHERE {IS_OPEN} AND state = 'rendered'", (now,))
    connection.execute("UPDATE jobs SET due_at = ? WHERE due_at IS NOT NULL", (now,))
    return Recovered(len(_ids(connection, "queued")), lost, len(_ids(connection, "rendered")))


def end_forgotten(connection: sqlite3.Connection, now: int) -> None:
    """End the open jobs of closed accounts: their cancellation was lost with the process that had begun it."""
    rows = connection.execute(
        f"SELECT id FROM {OPEN_JOBS} WHERE {IS_OPEN}"
        " AND account_id IN (SELECT id FROM accounts WHERE closed_at IS NOT NULL)"
    ).fetchall()
    for row in rows:
        jobs.forgotten(connection, row["id"], now)


def requeue(connection: sqlite3.Connection, job_id: int, now: int, *, count_attempt: bool, given_up: str) -> bool:
    """Queue a running job again, or give it up if that was its last attempt. Returns True if it was given up.

    A job that is given up delivers the images that are rendered; if there are none, it fails.
    """
    jobs.interrupted(connection, job_id, count_attempt=count_attempt)
    (attempts,) = connection.execute("SELECT attempts FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if attempts < ATTEMPTS_MAX:
        return False
    images = connection.execute("SELECT position, state FROM images WHERE job_id = ?", (job_id,)).fetchall()
    for image in images:
        if image["state"] == "queued":
            jobs.image_ended(connection, job_id, image["position"], ImageEnd("failed", 0, 0, error=given_up))
    if any(image["state"] == "rendered" for image in images):
        jobs.rendered(connection, job_id, now)
    else:
        jobs.ended(connection, job_id, "failed", error_code="interrupted", note=given_up, now=now)
    return True


def adopt(connection: sqlite3.Connection, job_id: int, now: int, *, given_up: str) -> JobRow | None:
    """Take up an open job that nothing works on, as :func:`recover` does. Returns the job as it is then."""
    row = job_rows.find(connection, job_id)
    if row is not None and row.state == "running":
        requeue(connection, job_id, now, count_attempt=True, given_up=given_up)
    elif row is not None and row.state == "delivering":
        jobs.undelivered(connection, job_id, now)
    return job_rows.find(connection, job_id)


def cancel(connection: sqlite3.Connection, job_ids: Collection[int], cause: CancelCause, now: int) -> None:
    """Note that jobs are to be cancelled and why, so that another process does not go on with them.

    The first cause stays, unless the data of the owner is deleted afterwards.
    """
    connection.executemany(
        "UPDATE jobs SET cancelled_at = coalesce(cancelled_at, ?1),"
        " cancel_cause = CASE WHEN ?2 = 'data_deleted' THEN ?2 ELSE coalesce(cancel_cause, ?2) END"
        f" WHERE id = ?3 AND {IS_OPEN}",
        [(now, cause, job_id) for job_id in job_ids],
    )


def requeue_running(connection: sqlite3.Connection) -> int:
    """Queue every running job again, because the process is about to end as planned. Returns how many there were.

    This counts no attempt, even if the process is killed before its last unit has ended.
    """
    running = _ids(connection, "running")
    for job_id in running:
        jobs.interrupted(connection, job_id, count_attempt=False)
    return len(running)


def retry_in_server(connection: sqlite3.Connection, guild_id: int, now: int) -> int:
    """Make the undelivered results of a server due now. Returns how many there are."""
    return connection.execute(
        f"UPDATE {OPEN_JOBS} SET due_at = :now"
        f" WHERE {IS_OPEN} AND state = 'rendered' AND due_at > :now AND guild_id = :guild",
        {"now": now, "guild": guild_id},
    ).rowcount


def retry_of_member(connection: sqlite3.Connection, member_id: int, now: int) -> int:
    """Make a member's undelivered results due now, without those that they have to ask for. Returns how many."""
    return connection.execute(
        f"UPDATE {OPEN_JOBS} SET due_at = :now"
        f" WHERE {IS_OPEN} AND state = 'rendered' AND due_at > :now AND owner_id = :member",
        {"now": now, "member": member_id},
    ).rowcount


def show_again(
    connection: sqlite3.Connection, job_id: int, reply: ReplyToken, message_id: int, file_limit: int | None, now: int
) -> bool:
    """Make an undelivered result due now, with another interaction's response as its card.

    Returns False if the job is not waiting to be delivered.
    """
    cursor = connection.execute(
        "UPDATE jobs SET due_at = ?, application_id = ?, interaction_token = ?, token_expires_at = ?,"
        " progress_message_id = ?, response_file_limit = ? WHERE id = ? AND state = 'rendered'",
        (now, reply.application_id, reply.token, reply.expires_at, message_id, file_limit, job_id),
    )
    return cursor.rowcount == 1


def _ids(connection: sqlite3.Connection, state: str) -> list[int]:
    rows = connection.execute(f"SELECT id FROM {OPEN_JOBS} WHERE {IS_OPEN} AND state = ? ORDER BY id", (state,))
    return [row["id"] for row in rows]
