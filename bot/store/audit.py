"""Who changed what in a server: one row for each change, written by the transaction that makes it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``target`` is a mention or a word, ``member_id`` the member whom it concerns, if any.

    ``action`` is the command in words, such as "limits set credits_per_day".
    """

    action: str
    target: str
    before: str
    after: str
    member_id: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A change that was made, by whom and when (UTC seconds)."""

    id: int
    actor_id: int
    change: Change
    at: int


def record(connection: sqlite3.Connection, guild_id: int, actor_id: int, change: Change, now: int) -> AuditRow:
    """Write a change down; ``guild_id`` is 0 for what the operator changes everywhere."""
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
    """A server's changes, the newest first."""
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


def count_changes(connection: sqlite3.Connection, guild_id: int) -> int:
    row = connection.execute("SELECT count(*) AS number FROM audit WHERE guild_id = ?", (guild_id,)).fetchone()
    return int(row["number"])
