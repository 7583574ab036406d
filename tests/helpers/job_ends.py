"""Ends jobs and images in the database as the bot does, with charges that a test chooses."""

from __future__ import annotations

import sqlite3

from bot.store import jobs
from bot.store.job_states import EndState
from bot.store.jobs import ImageEnd, ImageState


def image_ended(
    connection: sqlite3.Connection, job_id: int, position: int, state: ImageState, file: str | None, device_ms: int
) -> None:
    jobs.image_ended(connection, job_id, position, ImageEnd(state, 0, device_ms, file=file))


def delivered(
    connection: sqlite3.Connection, job_id: int, channel_id: int, message_id: int, spent: int, now: int
) -> None:
    """Deliver a job whose images were charged ``spent`` in all."""
    _charge(connection, job_id, spent)
    jobs.delivered(connection, job_id, channel_id, message_id, now)


def ended(
    connection: sqlite3.Connection,
    job_id: int,
    state: EndState,
    *,
    error_code: str | None,
    spent: int,
    now: int,
    note: str = "",
) -> jobs.Ended:
    """End a job whose images were charged ``spent`` in all. Only a cancelled one has to pay it."""
    _charge(connection, job_id, spent)
    return jobs.ended(connection, job_id, state, error_code=error_code, note=note, now=now)


def _charge(connection: sqlite3.Connection, job_id: int, spent: int) -> None:
    connection.execute(
        "UPDATE images SET charge = CASE position WHEN 0 THEN ? ELSE 0 END WHERE job_id = ?", (spent, job_id)
    )
