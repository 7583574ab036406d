"""The table of limits and ceilings, and what is set for whom. Functions are part of a transaction.

Values are integers in the limit's unit; None is "unlimited".
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

LimitName = Literal["credits_per_day", "concurrent_jobs", "queued_jobs", "max_pixels", "max_count"]
Ceiling = Literal["credits_per_user", "credits_per_server", "queue_length"]
LimitUnit = Literal["credits", "pixels", "pieces"]
"""Credits are stored in 1/100."""
Target = Literal["user", "role", "everyone"]
Origin = Literal["user", "role", "everyone", "default", "ceiling"]


@dataclass(frozen=True, slots=True)
class LimitKind:
    """What is known about a limit.

    ``title`` is its name for people, ``meaning`` explains it in the choices of ``/admin limits``, ``example`` says in
    refusals what a value looks like, ``value_suffix`` follows the value in ``/quota``. ``offered`` are the values of
    the autocomplete. The default is the operator's setting of the same name; ``direct_setting`` is the setting for
    direct messages if that differs.
    """

    name: LimitName
    unit: LimitUnit
    title: str
    meaning: str
    example: str
    value_suffix: str
    offered: tuple[str, ...]
    direct_setting: str | None = None


@dataclass(frozen=True, slots=True)
class CeilingKind:
    """What is known about an operator's ceiling; its values are read and shown like those of the limit ``unit_of``.

    The default is the operator's setting ``ceiling_`` + ``name``.
    """

    name: Ceiling
    unit_of: LimitName
    meaning: str


UNLIMITED = "unlimited"
_RANK: dict[Origin, int] = {"default": 0, "everyone": 1, "role": 2, "user": 3}
_WHOLE = "a whole number from 0"

# The database checks the names: a new limit also needs a migration of the table ``limits``.
LIMITS: dict[LimitName, LimitKind] = {
    kind.name: kind
    for kind in (
        LimitKind(
            "credits_per_day",
            "credits",
            "Credits, last 24 h",
            "1 credit is one picture of the usual size",
            "credits like 15 or 7.5",
            "",
            ("5", "10", "25", "50", "100", UNLIMITED),
            direct_setting="direct_credits_per_day",
        ),
        LimitKind(
            "concurrent_jobs",
            "pieces",
            "Requests at once",
            "how many are generated at the same time; more wait in the queue",
            _WHOLE,
            "",
            ("1", "2", "3", "5", UNLIMITED),
        ),
        LimitKind(
            "queued_jobs",
            "pieces",
            "Requests in the queue",
            "how many may wait; more are refused",
            _WHOLE,
            "",
            ("0", "2", "5", "10", "20", UNLIMITED),
        ),
        LimitKind(
            "max_pixels",
            "pixels",
            "Largest picture",
            "in pixels, such as 1024x1024",
            "pixels like 1048576 or 1024x1024",
            " pixels",
            ("512x512", "1024x1024", "2048x1024", "2048x2048", UNLIMITED),
        ),
        LimitKind(
            "max_count",
            "pieces",
            "Pictures per request",
            "how many one request may have",
            _WHOLE,
            "",
            ("1", "2", "3", "4"),
        ),
    )
}
"""Every limit, in the order in which they are shown."""
LIMIT_NAMES: tuple[LimitName, ...] = tuple(LIMITS)

CEILINGS: dict[Ceiling, CeilingKind] = {
    kind.name: kind
    for kind in (
        CeilingKind(
            "credits_per_user", "credits_per_day", "credits of a member in 24 hours, across all servers and DMs"
        ),
        CeilingKind("credits_per_server", "credits_per_day", "credits of a server in 24 hours"),
        CeilingKind("queue_length", "queued_jobs", "requests that wait or are being generated"),
    )
}
"""Every ceiling of the operator, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Who invokes a command, and where.

    ``scope_id`` is the server whose limits hold and where credits count, 0 for direct messages and user-installed use.
    ``guild_id`` is the server in which it happens, None in direct messages. ``channels`` are the thread, its channel
    and its category, as far as they exist, in this order.
    """

    member_id: int
    scope_id: int
    guild_id: int | None
    role_ids: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    age_restricted: bool = False


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit set for a target, until a time in UTC seconds or for good (``until`` None)."""

    target: Target
    target_id: int
    name: LimitName
    value: int | None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """The value that holds for a member, and its origin; ``role_id`` is set if that is a role."""

    name: LimitName
    value: int | None
    origin: Origin
    role_id: int | None = None
    until: int | None = None


_ABOUT_PICTURES: tuple[LimitName, ...] = ("max_pixels", "max_count")
"""Limits of what is posted in a server, rather than of what its members may use."""

Values = Mapping[LimitName, int | None]


def resolve(connection: sqlite3.Connection, requester: Requester, defaults: Values, now: int) -> dict[LimitName, Limit]:
    """Return for each limit the member's own value, else their roles' most generous, the server's, or the default.

    Limits that have run out by ``now`` (UTC seconds) don't count. Of what a server has set for somebody who installed
    the bot for themselves, only what is 0 holds, and smaller sizes and counts than the defaults.
    """
    found: dict[LimitName, Limit] = {name: Limit(name, defaults[name], "default") for name in LIMIT_NAMES}
    if not requester.scope_id:
        return found if requester.guild_id is None else _as_own_app(connection, requester, found, now)
    roles = ", ".join("?" * len(requester.role_ids))
    rows = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " AND (target = 'everyone' OR target = 'user' AND target_id = ?"
        f" OR target = 'role' AND target_id IN ({roles}))",
        (requester.scope_id, now, requester.member_id, *requester.role_ids),
    )
    for row in rows:
        name, target = row["name"], row["target"]
        role_id = row["target_id"] if target == "role" else None
        new, old = Limit(name, row["value"], target, role_id, row["until"]), found[name]
        if (_RANK[target], _generosity(new)) > (_RANK[old.origin], _generosity(old)):
            found[name] = new
    return found


def _as_own_app(
    connection: sqlite3.Connection, requester: Requester, found: dict[LimitName, Limit], now: int
) -> dict[LimitName, Limit]:
    """Return the limits of user-installed use in a server: ``found``, but what the server forbids to all stays so."""
    assert requester.guild_id is not None, "it is in a server"
    values = {name: limit.value for name, limit in found.items()}
    in_server = resolve(connection, replace(requester, scope_id=requester.guild_id), values, now)
    return {
        name: limit
        if limit.value == 0 or (name in _ABOUT_PICTURES and _generosity(limit) < _generosity(found[name]))
        else found[name]
        for name, limit in in_server.items()
    }


def write_limit(connection: sqlite3.Connection, guild_id: int, row: LimitRow, now: int = 0) -> LimitRow | None:
    """Set a limit. Returns what was set before, None if nothing was."""
    before = find_limit(connection, guild_id, row.target, row.target_id, row.name, now)
    connection.execute(
        "INSERT OR REPLACE INTO limits (guild_id, target, target_id, name, value, until) VALUES (?, ?, ?, ?, ?, ?)",
        (guild_id, row.target, row.target_id, row.name, row.value, row.until),
    )
    return before


def clear_limit(
    connection: sqlite3.Connection, guild_id: int, target: Target, target_id: int, name: LimitName, now: int = 0
) -> LimitRow | None:
    """Delete a limit. Returns what was set, None if nothing was."""
    before = find_limit(connection, guild_id, target, target_id, name, now)
    connection.execute(
        "DELETE FROM limits WHERE guild_id = ? AND target = ? AND target_id = ? AND name = ?",
        (guild_id, target, target_id, name),
    )
    return before


def find_limit(
    connection: sqlite3.Connection, guild_id: int, target: Target, target_id: int, name: LimitName, now: int
) -> LimitRow | None:
    """Return what is set, None if nothing is or it has run out by ``now``."""
    row = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits"
        " WHERE guild_id = ? AND target = ? AND target_id = ? AND name = ? AND (until IS NULL OR until > ?)",
        (guild_id, target, target_id, name, now),
    ).fetchone()
    return LimitRow(**dict(row)) if row is not None else None


def limits_of(connection: sqlite3.Connection, guild_id: int, now: int) -> list[LimitRow]:
    """Return what is set in a server and has not run out: for everyone, then for roles, then for members."""
    rows = connection.execute(
        "SELECT target, target_id, name, value, until FROM limits WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " ORDER BY CASE target WHEN 'everyone' THEN 0 WHEN 'role' THEN 1 ELSE 2 END, target_id, name",
        (guild_id, now),
    )
    return [LimitRow(**dict(row)) for row in rows]


def drop_expired(connection: sqlite3.Connection, now: int) -> None:
    """Delete limits that have run out."""
    connection.execute("DELETE FROM limits WHERE until <= ?", (now,))


def _generosity(limit: Limit) -> float:
    return float("inf") if limit.value is None else limit.value
