"""Whose credits count together: a number of our own for each member, so that sums can outlive who they belong to."""

from __future__ import annotations

import sqlite3

DAY = 24 * 60 * 60
OVER = (
    "accounts.member_id IS NOT NULL AND accounts.closed_at <= ? AND NOT EXISTS"
    " (SELECT 1 FROM jobs WHERE jobs.owner_id = accounts.member_id AND jobs.account_id <= accounts.id)"
)
"""Accounts that were closed a day ago and have no job left that is to be forgotten: nothing needs their member.

Nor have the member's earlier ones, whose grants may have been spent by these.
"""


def account_of(connection: sqlite3.Connection, member_id: int) -> int:
    """The member's open account, made where there is none."""
    row = connection.execute(
        "SELECT id FROM accounts WHERE member_id = ? AND closed_at IS NULL", (member_id,)
    ).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO accounts (member_id) VALUES (?) RETURNING id", (member_id,)).fetchone()
    return int(row["id"])


def close_account(connection: sqlite3.Connection, member_id: int, now: int) -> None:
    """What the member does from now on has another account; the closed one still counts for a day.

    It is closed after those before it, though the clock may have been set back: they are forgotten in this order.
    """
    connection.execute(
        "UPDATE accounts SET closed_at ="
        " max(?1, (SELECT coalesce(max(closed_at), 0) FROM accounts AS earlier WHERE earlier.member_id = ?2))"
        " WHERE member_id = ?2 AND closed_at IS NULL",
        (now, member_id),
    )


def unlink_closed(connection: sqlite3.Connection, now: int) -> int:
    """Forget whose the accounts were that are :data:`OVER`; how many."""
    return connection.execute(f"UPDATE accounts SET member_id = NULL WHERE {OVER}", (now - DAY,)).rowcount
