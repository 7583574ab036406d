"""The append-only ledger of credits, in integers of 1/100 credit. All functions are part of a transaction.

A job's rows count for 24 hours from when it reserved (``counted_at``). Credits in use are those reserved in that time
less those given back; a job that is still open counts however long ago it reserved. Credits that an admin granted
are spent after the day's credits, and are given back before them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from bot.store.accounts import DAY, OVER, account_of
from bot.store.job_states import IS_OPEN, OPEN_JOBS

Parameters = dict[str, int]

# Indexes are named: SQLite would otherwise read a server's whole day, or every job that a member ever had.
_LEDGER = "ledger INDEXED BY ledger_by_account"

_MEMBERS = "account_id IN (SELECT id FROM accounts WHERE member_id = :member)"
_RESERVED_BEFORE = f"{IS_OPEN} AND created_at <= :since"
"""Open jobs whose reservation is older than the period, so that the period's sums don't include it."""

_IN_USE = "sum(CASE entry WHEN 'reserved' THEN credits WHEN 'given_back' THEN -credits ELSE 0 END)"
_IN_USE_OF_DAY = (
    "sum(CASE entry WHEN 'reserved' THEN credits - granted WHEN 'given_back' THEN granted - credits ELSE 0 END)"
)
"""Like ``_IN_USE``, without what grants paid."""
_LEFT_OF_GRANTS = "sum(CASE entry WHEN 'reserved' THEN -granted WHEN 'settled' THEN 0 ELSE granted END)"

_LAST_FORGIVEN = f"""(
    SELECT coalesce(max(job_id), 0) FROM ledger WHERE {_MEMBERS} AND scope_id = :scope AND entry = 'reset'
)"""
"""The newest job that a reset forgave, or 0."""
_USED = f"""
    WITH forgiven (job_id) AS (SELECT {_LAST_FORGIVEN})
    SELECT coalesce((
        SELECT {_IN_USE_OF_DAY} FROM {_LEDGER}
        WHERE {_MEMBERS} AND counted_at > :since AND scope_id = :scope AND job_id > (SELECT job_id FROM forgiven)
    ), 0) + coalesce((
        SELECT sum(credits - granted) FROM {OPEN_JOBS}
        WHERE {_RESERVED_BEFORE} AND owner_id = :member AND scope_id = :scope AND id > (SELECT job_id FROM forgiven)
    ), 0)
"""
_RENEWALS = f"""
    SELECT counted_at, {_IN_USE_OF_DAY} AS total FROM {_LEDGER}
    WHERE {_MEMBERS} AND counted_at > :since AND scope_id = :scope AND job_id > {_LAST_FORGIVEN}
    GROUP BY counted_at HAVING total > 0 ORDER BY counted_at
"""
_CARRY_GRANTS = f"""
    INSERT INTO ledger (account_id, scope_id, entry, credits, granted, counted_at, at)
    SELECT newest.id, scope_id, 'granted', total, total, :now, :now
    FROM (
        SELECT member_id, scope_id, {_LEFT_OF_GRANTS} AS total FROM accounts
        CROSS JOIN ledger ON account_id = accounts.id
        WHERE granted > 0 AND {OVER}
        GROUP BY member_id, scope_id HAVING total > 0
    ) JOIN (
        SELECT member_id, max(id) AS id FROM accounts
        WHERE member_id IS NOT NULL AND NOT coalesce({OVER}, 0) GROUP BY member_id
    ) AS newest USING (member_id)
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Credits (1/100) that become available again at ``at``, in UTC seconds."""

    at: int
    credits: int


def reserve(connection: sqlite3.Connection, job_id: int, credit: int, granted: int, now: int) -> None:
    """Reserve a job's credits, ``granted`` of them from what an admin granted."""
    _enter(connection, job_id, "reserved", credit, granted, 0, now)


def close(connection: sqlite3.Connection, job_id: int, spent: int, now: int) -> int:
    """Settle ``spent`` of a job's reservation, the day's credits first, and give back the rest.

    Returns the credits that were settled: never more than were reserved.
    """
    row = connection.execute("SELECT credits, granted, device_ms FROM jobs WHERE id = ?", (job_id,)).fetchone()
    spent = min(spent, row["credits"])
    from_grant = max(0, spent - (row["credits"] - row["granted"]))
    _enter(connection, job_id, "settled", spent, from_grant, row["device_ms"], now)
    if spent < row["credits"]:
        _enter(connection, job_id, "given_back", row["credits"] - spent, row["granted"] - from_grant, 0, now)
    return int(spent)


def grant(connection: sqlite3.Connection, member_id: int, scope_id: int, credit: int, now: int) -> None:
    """Add credits once; they last until they are spent."""
    connection.execute(
        "INSERT INTO ledger (account_id, scope_id, entry, credits, granted, counted_at, at)"
        " VALUES (?, ?, 'granted', ?, ?, ?, ?)",
        (account_of(connection, member_id), scope_id, credit, credit, now, now),
    )


def carry_grants(connection: sqlite3.Connection, now: int) -> None:
    """Move what is left of the grants of accounts that are about to be unlinked to their members' newest accounts.

    Members without a newer account lose theirs. What newer accounts have already spent is taken off.
    """
    connection.execute(_CARRY_GRANTS, {"now": now, "closed_by": now - DAY})


def reset(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> int:
    """Let the member's jobs until now no longer count. Returns the credits that were in use."""
    forgiven = used(connection, member_id, scope_id, now)
    connection.execute(
        "INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, counted_at, at)"
        " SELECT ?, ?, max(id), 'reset', ?, ?, ? FROM jobs",
        (account_of(connection, member_id), scope_id, forgiven, now, now),
    )
    return forgiven


def used(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> int:
    """Return the credits of the day's limit that are reserved or spent, without what grants paid."""
    row = connection.execute(_USED, {"member": member_id, "scope": scope_id, "since": now - DAY}).fetchone()
    return int(row[0])


def granted(connection: sqlite3.Connection, member_id: int, scope_id: int) -> int:
    """Return what is left of the credits that admins granted."""
    row = connection.execute(
        f"SELECT {_LEFT_OF_GRANTS} AS total FROM ledger WHERE {_MEMBERS} AND scope_id = :scope AND granted > 0",
        {"member": member_id, "scope": scope_id},
    ).fetchone()
    return int(row["total"] or 0)


def used_everywhere(connection: sqlite3.Connection, member_id: int, now: int) -> int:
    """Return a member's credits over all servers and direct messages, with grants, and whatever was reset."""
    return _total(connection, _MEMBERS, "owner_id = :member", {"member": member_id, "since": now - DAY})


def used_in(connection: sqlite3.Connection, scope_id: int, now: int) -> int:
    """Return the credits of all members of a server, with grants, and whatever was reset."""
    return _total(connection, "scope_id = :scope", "scope_id = :scope", {"scope": scope_id, "since": now - DAY})


def renewals(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> Iterator[Renewal]:
    """Yield when which of the day's credits come back, the soonest first."""
    rows = connection.execute(_RENEWALS, {"member": member_id, "scope": scope_id, "since": now - DAY})
    return (Renewal(row["counted_at"] + DAY, row["total"]) for row in rows)


def renewals_everywhere(connection: sqlite3.Connection, member_id: int, now: int) -> Iterator[Renewal]:
    """Yield when which of the credits of :func:`used_everywhere` come back, the soonest first."""
    return _all_renewals(connection, _MEMBERS, {"member": member_id, "since": now - DAY})


def renewals_in(connection: sqlite3.Connection, scope_id: int, now: int) -> Iterator[Renewal]:
    """Yield when which of the credits of :func:`used_in` come back, the soonest first."""
    return _all_renewals(connection, "scope_id = :scope", {"scope": scope_id, "since": now - DAY})


def _all_renewals(connection: sqlite3.Connection, condition: str, parameters: Parameters) -> Iterator[Renewal]:
    rows = connection.execute(
        f"SELECT counted_at, {_IN_USE} AS total FROM ledger WHERE {condition} AND counted_at > :since"
        " GROUP BY counted_at HAVING total > 0 ORDER BY counted_at",
        parameters,
    )
    return (Renewal(row["counted_at"] + DAY, row["total"]) for row in rows)


def _total(connection: sqlite3.Connection, ledger_condition: str, jobs_condition: str, parameters: Parameters) -> int:
    """Return all credits in use since ``:since``: of the ledger's rows, and of open jobs that reserved before it."""
    rows = connection.execute(
        f"SELECT {_IN_USE} FROM ledger WHERE {ledger_condition} AND counted_at > :since"
        f" UNION ALL SELECT sum(credits) FROM {OPEN_JOBS} WHERE {jobs_condition} AND {_RESERVED_BEFORE}",
        parameters,
    )
    return sum(row[0] or 0 for row in rows)


def _enter(
    connection: sqlite3.Connection, job_id: int, entry: str, credit: int, granted: int, device_ms: int, now: int
) -> None:
    connection.execute(
        "INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, granted, device_ms, counted_at, at)"
        " SELECT account_id, scope_id, id, ?, ?, ?, ?, created_at, ? FROM jobs WHERE id = ?",
        (entry, credit, granted, device_ms, now, job_id),
    )
