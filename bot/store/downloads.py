"""The bytes of pictures that members gave to ``/edit`` and ``/details``, by hour. Functions are part of a transaction.

They are counted before they are downloaded, and also if what they are is refused: that has cost as much.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

HOURS = 24


@dataclass
class OverBudget(Exception):
    """A download would exceed ``budget`` bytes in 24 hours: ``used`` are used, and ``wanted`` were asked for.

    ``again_at`` is when there will be enough, in UTC seconds; None if the file alone is larger than the budget.
    """

    budget: int
    used: int
    wanted: int
    again_at: int | None


def book(connection: sqlite3.Connection, member_id: int, size: int, budget: int | None, now: int) -> None:
    """Count ``size`` bytes of a member. Raises :class:`OverBudget` if they have not as many left (None: unlimited)."""
    hour = now // 3600
    rows = connection.execute(
        "SELECT hour, bytes FROM downloads WHERE member_id = ? AND hour > ? ORDER BY hour", (member_id, hour - HOURS)
    ).fetchall()
    used = sum(row["bytes"] for row in rows)
    if budget is not None and used + size > budget:
        missing, again_at = used + size - budget, None
        for row in rows:
            missing -= row["bytes"]
            if missing <= 0:
                again_at = (row["hour"] + HOURS) * 3600
                break
        raise OverBudget(budget, used, size, again_at)
    if size > 0:
        connection.execute(
            "INSERT INTO downloads (member_id, hour, bytes) VALUES (?, ?, ?)"
            " ON CONFLICT (member_id, hour) DO UPDATE SET bytes = bytes + excluded.bytes",
            (member_id, hour, size),
        )


def drop_old(connection: sqlite3.Connection, now: int) -> None:
    """Drop what no longer counts."""
    connection.execute("DELETE FROM downloads WHERE hour <= ?", (now // 3600 - HOURS,))
