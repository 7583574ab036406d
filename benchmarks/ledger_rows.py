"""Fills a database with a busy server of a million ledger rows, on which reports are timed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np

from bot.store.accounts import DAY
from bot.store.database import migrate

SCOPE = 700_000_000_000_000_000
"""The server of all rows. The next ids are its channels."""
MEMBER = 800_000_000_000_000_000
"""The first member. The next ids are the others; members with smaller ids use more."""
END = 20_800 * DAY
"""The end of the last day, in UTC seconds."""
MEMBERS, CHANNELS, DAYS = 300, 20, 120
KINDS = ("imagine", "edit", "vary", "upscale")

_JOB = (
    "INSERT INTO jobs (id, source_id, state, owner_id, scope_id, guild_id, channel_id, visibility, kind, spec, count,"
    " credits, nonce, device_ms, created_at, started_at, ended_at, account_id)"
    " VALUES (?1, ?1, 'delivered', ?2, ?3, ?3, ?4, 'public', ?5, '{}', ?6, ?7, 'n', ?8, ?9, ?9, ?10, ?11)"
)
_ENTRY = (
    "INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, device_ms, counted_at, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ROLLUP = (
    "INSERT INTO usage_days SELECT ledger.scope_id, ledger.at / 86400, ledger.account_id, channel_id, kind, count(*),"
    " sum(count), sum(ledger.credits), sum(ledger.device_ms)"
    " FROM ledger JOIN jobs ON jobs.id = ledger.job_id WHERE entry = 'settled' GROUP BY 1, 2, 3, 4, 5"
)


def fill(path: Path, jobs: int = 333_334) -> None:
    """Create and fill a database: three ledger rows a job, and the sums by day. Takes seconds; blocks.

    Each job settles a part of its reservation and gives the rest back. There are no images.
    """
    migrate(path)
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -200000;")
    with connection:
        owners = [(MEMBER + number,) for number in range(MEMBERS)]
        connection.executemany("INSERT INTO accounts (member_id) VALUES (?)", owners)
        first = connection.execute("SELECT min(id) FROM accounts").fetchone()[0]
        drawn = _draw(jobs)
        connection.executemany(_JOB, ((*job, first + job[1] - MEMBER) for job in drawn))
        connection.executemany(_ENTRY, (row for job in drawn for row in _entries(job, first + job[1] - MEMBER)))
        connection.execute(_ROLLUP)
    connection.close()


Drawn = tuple[int, int, int, int, str, int, int, int, int, int]
"""A job: id, owner, scope, channel, kind, count, credits, milliseconds, and the times of its creation and end."""


def _draw(jobs: int) -> list[Drawn]:
    """Yield the same jobs at every call, by time. Few members make most of them, each mainly in some channels."""
    rng = np.random.default_rng(5)
    members = (rng.pareto(1.2, jobs) * 12).astype(int) % MEMBERS
    channels = (members + rng.geometric(0.35, jobs)) % CHANNELS
    counts = rng.choice([1, 1, 1, 2, 4], jobs)
    made = np.sort(rng.integers(END - DAYS * DAY, END - 600, jobs))
    columns = (
        np.arange(1, jobs + 1),
        MEMBER + members,
        np.full(jobs, SCOPE),
        SCOPE + 1 + channels,
        rng.choice(KINDS, jobs, p=[0.55, 0.2, 0.15, 0.1]),
        counts,
        counts * rng.choice([50, 100, 100, 225], jobs),
        counts * rng.integers(900, 6000, jobs),
        made,
        made + rng.integers(3, 600, jobs),
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _entries(job: Drawn, account: int) -> tuple[tuple[int, int, int, str, int, int, int, int], ...]:
    job_id, _, scope, _, _, _, credit, device_ms, made, ended = job
    spent = credit * 4 // 5
    return (
        (account, scope, job_id, "reserved", credit, 0, made, made),
        (account, scope, job_id, "settled", spent, device_ms, made, ended),
        (account, scope, job_id, "given_back", credit - spent, 0, made, ended),
    )
