"""Drafts: requests that were not carried out, kept for a day for their owner to edit and ask for again.

All functions are part of a transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.accounts import DAY

DRAFTS_MAX = 20
"""The largest number of drafts kept for a member."""


@dataclass(frozen=True, slots=True)
class DraftRow:
    """A draft. ``request`` is the JSON of a :class:`bot.requests.drafts.Draft`."""

    id: int
    owner_id: int
    request: str


def keep(connection: sqlite3.Connection, owner_id: int, request: str, now: int) -> int:
    """Keep a draft for a day from now on and return its id; an equal draft of the owner is kept once.

    Deletes the owner's oldest drafts beyond :data:`DRAFTS_MAX`.
    """
    row = connection.execute(
        "INSERT INTO drafts (owner_id, request, created_at) VALUES (?, ?, ?)"
        " ON CONFLICT (owner_id, request) DO UPDATE SET created_at = excluded.created_at RETURNING id",
        (owner_id, request, now),
    ).fetchone()
    connection.execute(
        "DELETE FROM drafts WHERE id IN"
        " (SELECT id FROM drafts WHERE owner_id = ? AND id <> ? ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?)",
        (owner_id, row["id"], DRAFTS_MAX - 1),
    )
    return int(row["id"])


def find(connection: sqlite3.Connection, draft_id: int, now: int) -> DraftRow | None:
    """Return the draft; None if it is not kept any more."""
    row = connection.execute(
        "SELECT id, owner_id, request FROM drafts WHERE id = ? AND created_at > ?", (draft_id, now - DAY)
    ).fetchone()
    return DraftRow(**dict(row)) if row is not None else None


def drop_old(connection: sqlite3.Connection, now: int) -> None:
    """Delete the drafts that are a day old."""
    connection.execute("DELETE FROM drafts WHERE created_at <= ?", (now - DAY,))


def forget_member(connection: sqlite3.Connection, member_id: int) -> None:
    """Delete a member's drafts."""
    connection.execute("DELETE FROM drafts WHERE owner_id = ?", (member_id,))
