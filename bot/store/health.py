"""Figures about the whole instance, for its operator. Functions are part of a transaction that reads."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.accounts import DAY
from bot.store.guild_settings import INSTANCE, PAUSED
from bot.store.job_states import IS_OPEN, IS_UNDELIVERED, IS_WAITING, OPEN_JOBS

_IS_TRIED_AGAIN = "iif(state = 'delivering', delivery_attempts > 1, delivery_attempts > 0 AND due_at IS NOT NULL)"
"""Not a first attempt that is going on, nor a result that its owner has to ask for."""


@dataclass(frozen=True, slots=True)
class Health:
    """The instance's condition at one moment.

    ``open_jobs`` are the numbers of jobs by state now, ``ended_jobs`` those that ended in the last day. ``oldest_wait``
    is the age in seconds of the oldest job in the queue, None if the queue is empty. ``device_seconds`` are those of
    the last day, ``paused_servers`` the number of servers whose admins paused the bot.
    """

    open_jobs: dict[str, int]
    ended_jobs: dict[str, int]
    oldest_wait: int | None
    device_seconds: float
    paused_servers: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be done now. ``open_jobs`` are the numbers of jobs by state and kind.

    ``oldest_wait`` is that of :class:`Health`. ``undelivered`` counts the results whose first attempt to post them
    failed, and for which the bot makes another one by itself.
    """

    open_jobs: dict[tuple[str, str], int]
    oldest_wait: int | None
    undelivered: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """What a server used in the last day."""

    jobs: int
    credits: int


def health(connection: sqlite3.Connection, now: int) -> Health:
    """Return the instance's condition at ``now`` (UTC seconds)."""
    now_open = load(connection, now)
    open_jobs: dict[str, int] = {}
    for (state, _), count in now_open.open_jobs.items():
        open_jobs[state] = open_jobs.get(state, 0) + count
    ended = connection.execute(
        "SELECT state, count(*) FROM jobs WHERE ended_at > ? AND forgotten_at IS NULL GROUP BY 1", (now - DAY,)
    ).fetchall()
    device_ms = connection.execute(
        "SELECT coalesce(sum(device_ms), 0) FROM jobs WHERE ended_at > ? AND forgotten_at IS NULL", (now - DAY,)
    ).fetchone()[0]
    paused = connection.execute(
        "SELECT count(*) FROM guild_settings WHERE guild_id <> ? AND name = ? AND value = 'on'", (INSTANCE, PAUSED)
    ).fetchone()[0]
    return Health(
        open_jobs, dict(map(tuple, ended)), now_open.oldest_wait, device_ms / 1000, paused, now_open.database_bytes
    )


def load(connection: sqlite3.Connection, now: int) -> Load:
    """Return what is to be done at ``now`` (UTC seconds). Reads open jobs alone, however many have ended."""
    rows = connection.execute(f"SELECT state, kind, count(*) FROM {OPEN_JOBS} WHERE {IS_OPEN} GROUP BY 1, 2").fetchall()
    oldest = connection.execute(f"SELECT min(created_at) FROM {OPEN_JOBS} WHERE {IS_OPEN} AND {IS_WAITING}").fetchone()
    undelivered = connection.execute(
        f"SELECT count(*) FROM {OPEN_JOBS} WHERE {IS_OPEN} AND {IS_UNDELIVERED} AND {_IS_TRIED_AGAIN}"
    ).fetchone()
    pages = connection.execute("PRAGMA page_count").fetchone()[0] * connection.execute("PRAGMA page_size").fetchone()[0]
    wait = None if oldest[0] is None else max(0, now - oldest[0])
    return Load({(state, kind): count for state, kind, count in rows}, wait, undelivered[0], pages)


def tried_again(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return the id and the owner of each job that :class:`Load` counts as undelivered."""
    rows = connection.execute(
        f"SELECT id, owner_id FROM {OPEN_JOBS} WHERE {IS_OPEN} AND {IS_UNDELIVERED} AND {_IS_TRIED_AGAIN}"
    )
    return [(row[0], row[1]) for row in rows]


def servers(connection: sqlite3.Connection, scope_ids: list[int], now: int) -> dict[int, Server]:
    """Return what each of the servers used in the last day; those without a settled job are left out."""
    found: dict[int, Server] = {}
    for scope_id in scope_ids:
        row = connection.execute(
            "SELECT count(*), coalesce(sum(credits), 0) FROM ledger"
            " WHERE scope_id = ? AND counted_at > ? AND entry = 'settled'",
            (scope_id, now - DAY),
        ).fetchone()
        if row[0]:
            found[scope_id] = Server(*row)
    return found
