"""Usage by day (UTC): sums of the ledger's settled rows, updated in the transaction that settles.

A day is a number of days since 1970. Every query is for one server (direct messages: scope 0) or for one member.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from typing import Literal, get_args

from bot.store.accounts import DAY
from bot.store.database import Database

By = Literal["day", "user", "channel", "kind"]
BYS: tuple[By, ...] = get_args(By)

_SUMS = "sum(jobs) AS jobs, sum(images) AS images, sum(credits) AS credits, sum(device_ms) AS device_ms"
# The + keeps SQLite from using the index on scope_id, which would read a whole server for a member's few rows.
_OF_MEMBER = "account_id IN (SELECT id FROM accounts WHERE member_id = ?) AND day BETWEEN ? AND ?"
_OF_MEMBER_IN = f"{_OF_MEMBER} AND +scope_id = ?"
_OF_SCOPE = "day BETWEEN ? AND ? AND scope_id = ?"
_KEYS: dict[By, str] = {"day": "day", "user": "account_id", "channel": "channel_id", "kind": "kind"}


@dataclass(frozen=True, slots=True)
class Used:
    """Sums over jobs that have ended: ``credits`` in 1/100, ``device_ms`` in milliseconds."""

    jobs: int = 0
    images: int = 0
    credits: int = 0
    device_ms: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(
            self.jobs + other.jobs,
            self.images + other.images,
            self.credits + other.credits,
            self.device_ms + other.device_ms,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one day, member, channel or kind used. All members without a known account share the key None."""

    key: int | str | None
    used: Used


@dataclass(frozen=True, slots=True)
class Days:
    """A range of days that includes both ends."""

    first: int
    last: int

    @classmethod
    def until(cls, now: int, count: int) -> Days:
        """Return the range of ``count`` days that ends with the day of ``now`` (UTC seconds)."""
        return cls(now // DAY - count + 1, now // DAY)


def add(connection: sqlite3.Connection, job_id: int, credit: int, now: int) -> None:
    """Add a job that has ended, with its rendered images and ``credit`` settled credits (1/100)."""
    connection.execute(
        "INSERT INTO usage_days (scope_id, day, account_id, channel_id, kind, jobs, images, credits, device_ms)"
        " SELECT scope_id, ?, account_id, channel_id, kind, 1,"
        "  (SELECT count(*) FROM images WHERE job_id = jobs.id AND state IN ('rendered', 'deleted')), ?, device_ms"
        " FROM jobs WHERE id = ?"
        " ON CONFLICT DO UPDATE SET jobs = jobs + 1, images = images + excluded.images,"
        "  credits = credits + excluded.credits, device_ms = device_ms + excluded.device_ms",
        (now // DAY, credit, job_id),
    )


async def shares(database: Database, scope_id: int, days: Days, by: By, member_id: int | None = None) -> list[Share]:
    """Return what was used in one scope by one member, or by all if ``member_id`` is None.

    Days come in order, other keys by credits, the largest first.
    """
    condition, whose = (_OF_SCOPE, ()) if member_id is None else (_OF_MEMBER_IN, (member_id,))
    sql = f"SELECT {_KEYS[by]} AS key, {_SUMS} FROM usage_days WHERE {condition} GROUP BY 1"
    if by == "user":
        # A member who had their data deleted has two accounts for a day; then the old one has no member.
        sql = f"SELECT member_id AS key, {_SUMS} FROM ({sql}) AS own JOIN accounts ON accounts.id = own.key GROUP BY 1"
    order = "key" if by == "day" else "credits DESC, device_ms DESC, key"
    rows = await database.query(f"{sql} ORDER BY {order}", (*whose, days.first, days.last, scope_id))
    return await asyncio.to_thread(_shares, rows)  # a large server has thousands of members


async def used_everywhere(database: Database, member_id: int, days: Days) -> Used:
    """Return what a member used in all servers and in direct messages."""
    (row,) = await database.query(
        f"SELECT {_SUMS} FROM usage_days WHERE {_OF_MEMBER}", (member_id, days.first, days.last)
    )
    return Used(**{name: row[name] or 0 for name in row.keys()})  # noqa: SIM118 - a row's own iterator is its values


def _shares(rows: list[sqlite3.Row]) -> list[Share]:
    return [Share(row["key"], Used(row["jobs"], row["images"], row["credits"], row["device_ms"])) for row in rows]
