"""Fills a database with the past of a bot that many use: jobs with a picture each, their ledger rows and sums by day.

All rows are made by SQL: a million jobs take about half a minute.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from bot.store.database import migrate

SERVERS, MEMBERS, DAYS = 2_000, 50_000, 30
SCOPE = 700_000_000_000_000_000
"""The first server. The next ids are the others."""
MEMBER = 800_000_000_000_000_000
"""The first member, of the first server. The next ids are the others; each is in one server."""
CHANNEL = 900_000_000_000_000_000
"""The first server's channel. The next ids are those of the others."""

_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count - 1)"
# The multiplier is odd, so that every number has an id of its own; ids are in no order, as the bot's are.
_IMAGE_ID = "printf('%012x', (n * 69069 + 1) & 281474976710655)"
_ACCOUNTS = f"INSERT INTO accounts (member_id) {_NUMBERS} SELECT :member + n FROM numbers"
_JOBS = f"""
    INSERT INTO jobs (id, source_id, state, owner_id, scope_id, guild_id, channel_id, visibility, kind, spec, count,
        credits, nonce, device_ms, created_at, started_at, rendered_at, ended_at, account_id, application_id,
        progress_message_id, result_message_id, result_channel_id, delivery_attempts, due_at)
    {_NUMBERS}
    SELECT n + 1, 10000000000 + n, CASE WHEN n % 20 THEN 'delivered' ELSE 'failed' END, :member + n % :members,
        :scope + n % :members % :servers, :scope + n % :members % :servers, :channel + n % :members % :servers,
        'public', 'imagine', '{{"prompt": "a red circle on a blue background, number ' || n || '", "seed": 1}}', 1,
        100, 'n' || n, 900, at, at, at, at, n % :members + :account, 1,
        20000000000 + n, 30000000000 + n, :channel + n % :members % :servers, 1, NULL
    FROM (SELECT n, :first + n * :seconds / :count AS at FROM numbers)
"""
_IMAGES = f"""
    INSERT INTO images (id, job_id, position, state, seed, file, device_ms, charge)
    {_NUMBERS}
    SELECT {_IMAGE_ID}, n + 1, 0, CASE WHEN n % 20 THEN 'rendered' ELSE 'failed' END, 1,
        CASE WHEN n % 20 THEN {_IMAGE_ID} || '.png' END, 900, 100
    FROM numbers
"""
_LEDGER = """
    INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, device_ms, counted_at, at)
    SELECT account_id, scope_id, id, entry, credits, CASE entry WHEN 'settled' THEN device_ms ELSE 0 END, created_at,
        ended_at
    FROM jobs CROSS JOIN (SELECT 'reserved' AS entry UNION ALL SELECT 'settled')
"""
_USAGE = """
    INSERT INTO usage_days (scope_id, day, account_id, channel_id, kind, jobs, images, credits, device_ms)
    SELECT scope_id, ended_at / 86400, account_id, channel_id, kind, count(*), count(*), sum(credits), sum(device_ms)
    FROM jobs GROUP BY 1, 2, 3, 4, 5
"""


def fill(path: Path, jobs: int, now: int, members: int = MEMBERS, servers: int = SERVERS) -> None:
    """Create a database and give it ``jobs`` that have ended within the month before ``now``, in UTC seconds. Blocks.

    A job belongs to the next member in turn, and a member to one server.
    """
    migrate(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -500000;"
    )
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN"
        " ('jobs', 'images', 'ledger')"
    ).fetchall()
    values = {
        "member": MEMBER, "members": members, "servers": servers, "scope": SCOPE, "channel": CHANNEL, "count": jobs,
        "first": now - DAYS * 86400, "seconds": DAYS * 86400 - 60,
    }  # fmt: skip
    connection.execute("BEGIN")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute(_ACCOUNTS, values | {"count": members})
    account = connection.execute("SELECT min(id) FROM accounts").fetchone()[0]
    for statement in (_JOBS, _IMAGES, _LEDGER, _USAGE):
        connection.execute(statement, values | {"account": account})
    for _, sql in indexes:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
