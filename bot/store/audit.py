"""The audit: a row for each change that an admin made, written in the transaction that makes the change."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``action`` is the command without its slash, such as "limits set credits_per_day".

    ``target`` is a mention or a word; ``member_id`` is the member whom the change concerns, None if there is none.
    """

    action: str
    target: str
    before: str
    after: str
    member_id: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A change with its author's id and time (UTC seconds)."""

    id: int
    actor_id: int
    change: Change
    at: int


def record(connection: sqlite3.Connection, guild_id: int, actor_id: int, change: Change, now: int) -> AuditRow:
    """Store a change; the ``guild_id`` of the operator's changes is :data:`~bot.store.guild_settings.INSTANCE`."""
    row = connection.execute(
        "INSERT INTO audit (guild_id, actor_id, action, target, member_id, before, after, reason, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            guild_id,
            actor_id,
            change.action,
            change.target,
            change.member_id,
            change.before,
            change.after,
            change.reason,
            now,
        ),
    ).fetchone()
    return AuditRow(row["id"], actor_id, change, now)


def newest(connection: sqlite3.Connection, guild_id: int, *, count: int, skip: int = 0) -> list[AuditRow]:
    """Return ``count`` of a server's changes after the first ``skip``, the newest first."""
    rows = connection.execute(
        "SELECT id, actor_id, action, target, before, after, member_id, reason, at FROM audit WHERE guild_id = ?"
        " ORDER BY id DESC LIMIT ? OFFSET ?",
        (guild_id, count, skip),
    )
    return [
        AuditRow(
            row["id"],
            row["actor_id"],
            Change(row["action"], row["target"], row["before"], row["after"], row["member_id"], row["reason"]),
            row["at"],
        )
        for row in rows
    ]


def newest_actor(connection: sqlite3.Connection, guild_id: int, action: str, member_id: int) -> int | None:
    """Return who made the newest change of a kind that concerns a member; None if there was none."""
    row = connection.execute(
        "SELECT actor_id FROM audit WHERE guild_id = ? AND action = ? AND member_id = ? ORDER BY id DESC LIMIT 1",
        (guild_id, action, member_id),
    ).fetchone()
    return int(row["actor_id"]) if row is not None else None


def count_changes(connection: sqlite3.Connection, guild_id: int) -> int:
    """Return the number of a server's changes."""
    row = connection.execute("SELECT count(*) AS number FROM audit WHERE guild_id = ?", (guild_id,)).fetchone()
    return int(row["number"])
