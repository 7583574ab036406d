"""Accounts: a number for each member, under which their credits and usage are summed.

A member who has their data deleted gets a new account. The old one keeps its sums and counts for one more day, so
that deleting is no way around a limit; then it loses its member.
"""

from __future__ import annotations

import sqlite3

DAY = 24 * 60 * 60
OVER = (
    "accounts.member_id IS NOT NULL AND accounts.closed_at <= :closed_by AND NOT EXISTS"
    " (SELECT 1 FROM jobs WHERE jobs.owner_id = accounts.member_id AND jobs.account_id <= accounts.id)"
)
"""SQL condition for accounts that can lose their member: closed by ``:closed_by``, with no job left to forget.

Jobs of the member's earlier accounts count as well, because later accounts may have spent those accounts' grants.
"""


def account_of(connection: sqlite3.Connection, member_id: int) -> int:
    """Return the id of the member's open account, creating the account if needed."""
    row = connection.execute(
        "SELECT id FROM accounts WHERE member_id = ? AND closed_at IS NULL", (member_id,)
    ).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO accounts (member_id) VALUES (?) RETURNING id", (member_id,)).fetchone()
    return int(row["id"])


def close_account(connection: sqlite3.Connection, member_id: int, now: int) -> None:
    """Close the member's open account; their next job opens a new one.

    The time of closing is never before that of the member's earlier accounts, even if the clock was set back:
    accounts are unlinked in this order.
    """
    connection.execute(
        "UPDATE accounts SET closed_at = max(:now,"
        " (SELECT coalesce(max(closed_at), 0) FROM accounts AS earlier WHERE earlier.member_id = :member))"
        " WHERE member_id = :member AND closed_at IS NULL",
        {"now": now, "member": member_id},
    )


def unlink_closed(connection: sqlite3.Connection, now: int) -> int:
    """Remove the member from accounts that are :data:`OVER`. Returns the number of accounts."""
    cursor = connection.execute(f"UPDATE accounts SET member_id = NULL WHERE {OVER}", {"closed_by": now - DAY})
    return cursor.rowcount
