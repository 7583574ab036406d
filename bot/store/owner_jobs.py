"""The jobs that an operator looks at: those that are open, and those that failed today. Part of a read transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from bot.store.accounts import DAY
from bot.store.job_states import IS_OPEN

_LISTED = f"""
    SELECT id, state, kind, count, owner_id, guild_id, attempts, delivery_attempts, error_code, created_at, ended_at,
        ended_at IS NOT NULL AS is_over, CASE WHEN ended_at IS NULL THEN id ELSE -id END AS place
    FROM jobs INDEXED BY jobs_by_state WHERE {IS_OPEN}
    UNION ALL
    SELECT id, state, kind, count, owner_id, guild_id, attempts, delivery_attempts, error_code, created_at, ended_at,
        1, -id
    FROM jobs INDEXED BY jobs_kept WHERE forgotten_at IS NULL AND ended_at > :since AND state IN ('failed', 'expired')
"""


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job without its prompt. ``guild_id`` is None for direct messages; times are in UTC seconds."""

    id: int
    state: str
    kind: str
    count: int
    owner_id: int
    guild_id: int | None
    attempts: int
    delivery_attempts: int
    error_code: str | None
    created_at: int
    ended_at: int | None


def count_listed(connection: sqlite3.Connection, now: int) -> tuple[int, int]:
    """Return the number of open jobs, and of those that failed or expired in the last day."""
    rows = connection.execute(f"SELECT is_over, count(*) FROM ({_LISTED}) GROUP BY is_over", {"since": now - DAY})
    counts = {row[0]: int(row[1]) for row in rows}
    return counts.get(0, 0), counts.get(1, 0)


def listed(connection: sqlite3.Connection, now: int, *, count: int, skip: int) -> list[ListedJob]:
    """Return ``count`` jobs after the first ``skip``: the open ones, oldest first, then the failed, newest first."""
    rows = connection.execute(
        f"SELECT * FROM ({_LISTED}) ORDER BY is_over, place LIMIT :count OFFSET :skip",
        {"since": now - DAY, "count": count, "skip": skip},
    )
    return [ListedJob(*row[:11]) for row in rows]
