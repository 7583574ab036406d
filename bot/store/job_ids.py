"""Ids of jobs where this database is not the only one that has given them: buttons under messages name jobs.

Functions are part of a write transaction.
"""

from __future__ import annotations

import sqlite3

_FIRST = "next_job_id"
_SKIPPED = 100_000


def skip_ids(connection: sqlite3.Connection, other_highest: int = 0) -> None:
    """Give the next jobs ids that no other copy of this database has given.

    100,000 ids are skipped, since others may be unknown; ``other_highest`` is one that another copy has given.
    """
    first = max(_highest(connection), other_highest) + _SKIPPED + 1
    connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (_FIRST, str(first)))
    # Buttons name drafts, too.
    connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'drafts'", (_SKIPPED,))


def next_id(connection: sqlite3.Connection) -> int | None:
    """Return the id of the next job if it is not simply the next number, else None."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (_FIRST,)).fetchone()
    if row is None:
        return None
    first = int(row["value"])
    return first if first > _highest(connection) else None


def _highest(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0])
