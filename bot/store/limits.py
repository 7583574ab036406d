"""Limits: what is set for whom in a server, and which value holds for a member. Functions are part of a transaction.

``credits_per_day`` counts in 1/100 credit, ``max_pixels`` in pixels, the others in pieces; None is "unlimited".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

LimitName = Literal["credits_per_day", "concurrent_jobs", "queued_jobs", "max_pixels", "max_count"]
LIMIT_NAMES: tuple[LimitName, ...] = get_args(LimitName)
Target = Literal["user", "role", "everyone"]
Origin = Literal["user", "role", "everyone", "default", "ceiling"]


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks for something, and where.

    ``scope_id`` is the server where credits count, or 0 for direct messages and user-installed use; ``guild_id`` the
    server that it happens in, where there is one. ``channels`` are the thread, its channel and its category, as
    far as there are such, in this order.
    """

    member_id: int
    scope_id: int
    guild_id: int | None
    role_ids: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    age_restricted: bool = False


@dataclass(frozen=True, slots=True)
class LimitRow:
    """What is set for a target: ``until`` in UTC seconds, None for good."""

    target: Target
    target_id: int
    name: LimitName
    value: int | None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """The value that holds for a member, and where it comes from; ``role_id`` where that is a role."""

    name: LimitName
    value: int | None
    origin: Origin
    role_id: int | None = None
    until: int | None = None


Values = Mapping[LimitName, int | None]


def resolve(connection: sqlite3.Connection, requester: Requester, defaults: Values, now: int) -> dict[LimitName, Limit]:
    """For each name the member's own value, else their roles' most generous, else the server's, else the default."""
    found: dict[LimitName, Limit] = {name: Limit(name, defaults[name], "default") for name in LIMIT_NAMES}
    if not requester.scope_id:
        return found
    roles = ", ".join("?" * len(requester.role_ids))
    rows = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " AND (target = 'everyone' OR target = 'user' AND target_id = ?"
        f" OR target = 'role' AND target_id IN ({roles}))",
        (requester.scope_id, now, requester.member_id, *requester.role_ids),
    )
    rank: dict[str, int] = {"default": 0, "everyone": 1, "role": 2, "user": 3}
    for row in rows:
        name, target = row["name"], row["target"]
        role_id = row["target_id"] if target == "role" else None
        new, old = Limit(name, row["value"], target, role_id, row["until"]), found[name]
        if (rank[target], _generosity(new)) > (rank[old.origin], _generosity(old)):
            found[name] = new
    return found


def write_limit(connection: sqlite3.Connection, guild_id: int, row: LimitRow, now: int = 0) -> LimitRow | None:
    """Set a limit; what was set before."""
    before = find_limit(connection, guild_id, row.target, row.target_id, row.name, now)
    connection.execute(
        "INSERT OR REPLACE INTO limits (guild_id, target, target_id, name, value, until) VALUES (?, ?, ?, ?, ?, ?)",
        (guild_id, row.target, row.target_id, row.name, row.value, row.until),
    )
    return before


def clear_limit(
    connection: sqlite3.Connection, guild_id: int, target: Target, target_id: int, name: LimitName, now: int = 0
) -> LimitRow | None:
    """Take a limit away; what was set, None where nothing was."""
    before = find_limit(connection, guild_id, target, target_id, name, now)
    connection.execute(
        "DELETE FROM limits WHERE guild_id = ? AND target = ? AND target_id = ? AND name = ?",
        (guild_id, target, target_id, name),
    )
    return before


def find_limit(
    connection: sqlite3.Connection, guild_id: int, target: Target, target_id: int, name: LimitName, now: int
) -> LimitRow | None:
    """What is set, None where it has run out by ``now``."""
    row = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits"
        " WHERE guild_id = ? AND target = ? AND target_id = ? AND name = ? AND (until IS NULL OR until > ?)",
        (guild_id, target, target_id, name, now),
    ).fetchone()
    return LimitRow(**dict(row)) if row is not None else None


def limits_of(connection: sqlite3.Connection, guild_id: int, now: int) -> list[LimitRow]:
    """Everything that is set in a server and has not run out: for everyone, then roles, then members."""
    rows = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " ORDER BY CASE target WHEN 'everyone' THEN 0 WHEN 'role' THEN 1 ELSE 2 END, target_id, name",
        (guild_id, now),
    )
    return [LimitRow(**dict(row)) for row in rows]


def drop_expired(connection: sqlite3.Connection, now: int) -> None:
    """Remove limits that have run out."""
    connection.execute("DELETE FROM limits WHERE until <= ?", (now,))


def _generosity(limit: Limit) -> float:
    return float("inf") if limit.value is None else limit.value
