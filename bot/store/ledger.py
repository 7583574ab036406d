"""The ledger of credits: append-only, so that every sum can be computed again. Credits in integers of 1/100.

A job's rows count from when it reserved, for 24 hours: in use is what was reserved in that time less what was given
back of it; what is still reserved counts however long it waits. What an admin granted is spent after the day's
credits, and is given back before them. All functions are part of a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from bot.store.accounts import DAY, OVER, account_of

_MINE = "account_id IN (SELECT id FROM accounts WHERE member_id = ?)"
_SIGNED = "CASE entry WHEN 'reserved' THEN {0} WHEN 'given_back' THEN -({0}) ELSE 0 END"
_LEFT_OF_GRANTS = "sum(CASE entry WHEN 'reserved' THEN -granted WHEN 'settled' THEN 0 ELSE granted END)"
_FORGIVEN = f"(SELECT coalesce(max(job_id), 0) FROM ledger WHERE {_MINE} AND scope_id = ? AND entry = 'reset')"
_WAITS_LONG = "state NOT IN ('delivered', 'failed', 'cancelled', 'expired') AND created_at <= ?"
# Named, since SQLite would rather read a whole server's day, or every job that a member ever had.
_LEDGER, _JOBS = "ledger INDEXED BY ledger_by_account", "jobs INDEXED BY jobs_by_state"
_USED = f"""
    WITH forgiven (job_id) AS (
        SELECT coalesce(max(job_id), 0) FROM ledger
        WHERE account_id IN (SELECT id FROM accounts WHERE member_id = ?1) AND scope_id = ?2 AND entry = 'reset'
    )
    SELECT coalesce((
        SELECT sum({_SIGNED.format("credits - granted")}) FROM {_LEDGER}
        WHERE account_id IN (SELECT id FROM accounts WHERE member_id = ?1) AND counted_at > ?3 AND scope_id = ?2
            AND job_id > (SELECT job_id FROM forgiven)
    ), 0) + coalesce((
        SELECT sum(credits - granted) FROM {_JOBS}
        WHERE {_WAITS_LONG.replace("?", "?3")} AND owner_id = ?1 AND scope_id = ?2
            AND id > (SELECT job_id FROM forgiven)
    ), 0)
"""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Credits that come back at ``at``, in UTC seconds."""

    at: int
    credits: int


def reserve(connection: sqlite3.Connection, job_id: int, credit: int, granted: int, now: int) -> None:
    """Set a job's credits aside, ``granted`` of them from what an admin gave."""
    _enter(connection, job_id, "reserved", credit, granted, 0, now)


def close(connection: sqlite3.Connection, job_id: int, spent: int, now: int) -> int:
    """Settle ``spent`` of a job's reservation, the day's credits first, and give the rest back; what was settled."""
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
    """Before the accounts that are over are forgotten: what is left of their grants goes along with the members who
    came back. Those have already spent of it by their newer accounts."""
    connection.execute(
        "INSERT INTO ledger (account_id, scope_id, entry, credits, granted, counted_at, at)"
        " SELECT newest.id, scope_id, 'granted', total, total, ?1, ?1"
        f" FROM (SELECT member_id, scope_id, {_LEFT_OF_GRANTS} AS total"
        "  FROM accounts CROSS JOIN ledger ON account_id = accounts.id"
        f"  WHERE granted > 0 AND {OVER.replace('?', '?2')}"
        "  GROUP BY member_id, scope_id HAVING total > 0)"
        " JOIN (SELECT member_id, max(id) AS id FROM accounts"
        f"  WHERE member_id IS NOT NULL AND NOT coalesce({OVER.replace('?', '?2')}, 0)"
        "  GROUP BY member_id) AS newest USING (member_id)",
        (now, now - DAY),
    )


def reset(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> int:
    """Let nothing count that the member asked for until now; the credits that were in use."""
    forgiven = used(connection, member_id, scope_id, now)
    connection.execute(
        "INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, counted_at, at)"
        " SELECT ?, ?, max(id), 'reset', ?, ?, ? FROM jobs",
        (account_of(connection, member_id), scope_id, forgiven, now, now),
    )
    return forgiven


def used(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> int:
    """Credits of the day's limit that are reserved or spent, without what grants paid."""
    row = connection.execute(_USED, (member_id, scope_id, now - DAY)).fetchone()
    return int(row[0])


def granted(connection: sqlite3.Connection, member_id: int, scope_id: int) -> int:
    """What is left of what admins granted."""
    row = connection.execute(
        f"SELECT {_LEFT_OF_GRANTS} AS total FROM ledger WHERE {_MINE} AND scope_id = ? AND granted > 0",
        (member_id, scope_id),
    ).fetchone()
    return int(row["total"] or 0)


def used_everywhere(connection: sqlite3.Connection, member_id: int, now: int) -> int:
    """Credits of one member over all servers and direct messages, grants included, whatever was reset."""
    return _total(connection, (_MINE, "owner_id = ?"), member_id, now)


def used_in(connection: sqlite3.Connection, scope_id: int, now: int) -> int:
    """Credits of all members of a server, grants included, whatever was reset."""
    return _total(connection, ("scope_id = ?", "scope_id = ?"), scope_id, now)


def renewals(connection: sqlite3.Connection, member_id: int, scope_id: int, now: int) -> Iterator[Renewal]:
    """When which of the day's credits come back, the soonest first."""
    rows = connection.execute(
        f"SELECT counted_at, sum({_SIGNED.format('credits - granted')}) AS total FROM {_LEDGER}"
        f" WHERE {_MINE} AND counted_at > ? AND scope_id = ? AND job_id > {_FORGIVEN}"
        " GROUP BY counted_at HAVING total > 0 ORDER BY counted_at",
        (member_id, now - DAY, scope_id, member_id, scope_id),
    )
    return (Renewal(row["counted_at"] + DAY, row["total"]) for row in rows)


def renewals_everywhere(
    connection: sqlite3.Connection, now: int, *, member_id: int | None = None, scope_id: int | None = None
) -> Iterator[Renewal]:
    """The same for what :func:`used_everywhere` counts of a member, or :func:`used_in` of a server."""
    whose, value = (_MINE, member_id) if member_id is not None else ("scope_id = ?", scope_id)
    rows = connection.execute(
        f"SELECT counted_at, sum({_SIGNED.format('credits')}) AS total FROM ledger WHERE {whose} AND counted_at > ?"
        " GROUP BY counted_at HAVING total > 0 ORDER BY counted_at",
        (value, now - DAY),
    )
    return (Renewal(row["counted_at"] + DAY, row["total"]) for row in rows)


def _total(connection: sqlite3.Connection, conditions: tuple[str, str], whose: int, now: int) -> int:
    """All credits of the rows of the ledger and of the waiting jobs that the two conditions tell."""
    of_ledger, of_jobs = conditions
    rows = connection.execute(
        f"SELECT sum({_SIGNED.format('credits')}) FROM ledger WHERE {of_ledger} AND counted_at > ?"
        f" UNION ALL SELECT sum(credits) FROM {_JOBS} WHERE {of_jobs} AND {_WAITS_LONG}",
        (whose, now - DAY, whose, now - DAY),
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
