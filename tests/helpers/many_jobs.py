"""Many delivered jobs of one picture each, written by a few statements."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

GUILD, CHANNEL = 9, 40
_JOBS = """
    WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
    INSERT INTO jobs (id, source_id, state, owner_id, scope_id, guild_id, channel_id, visibility, kind, spec, count,
        credits, nonce, result_message_id, result_channel_id, created_at, started_at, ended_at, account_id, device_ms)
    SELECT n, n, 'delivered', :member, :guild, :guild, :channel, 'public', 'imagine',
        json_set(:spec, '$.prompt', 'prompt ' || n), 1, 100, 'n', n, :channel, :at + n % 1000, :at, :at + n % 1000,
        (SELECT id FROM accounts WHERE member_id = :member), 100
    FROM numbers
"""
_IMAGES = """
    INSERT INTO images (id, job_id, position, state, seed, file, device_ms, charge, seen_at)
    SELECT printf('%012x', id), id, 0, 'rendered', 7, printf('%012x.png', id), 100, 100, :at FROM jobs
    WHERE id BETWEEN :first AND :last
"""
_LEDGER = """
    INSERT INTO ledger (account_id, scope_id, job_id, entry, credits, counted_at, at)
    SELECT account_id, scope_id, id, :entry, credits, created_at, created_at FROM jobs
    WHERE id BETWEEN :first AND :last
"""
SPEC = {"width": 256, "height": 256, "seed": 7, "steps": 8, "guidance_scale": 0.0, "negative_prompt": "", "model": "m"}


def add_jobs(connection: sqlite3.Connection, member_id: int, first: int, count: int, at: int) -> None:
    """Add jobs with the ids from ``first`` on, which ended at ``at`` (UTC seconds) or up to 1,000 seconds later.

    Every 20th is an edit of a picture that the member brought: its name is the job's id in 32 hexadecimal digits.
    """
    values = {
        "member": member_id,
        "guild": GUILD,
        "channel": CHANNEL,
        "first": first,
        "last": first + count - 1,
        "at": at,
        "spec": json.dumps(SPEC),
    }
    connection.execute("INSERT INTO accounts (member_id) VALUES (?)", (member_id,))
    connection.execute(_JOBS, values)
    connection.execute(_IMAGES, values)
    for entry in ("reserved", "settled"):
        connection.execute(_LEDGER, values | {"entry": entry})
    connection.execute(
        "UPDATE jobs SET kind = 'edit', spec = json_set(spec, '$.source', printf('%032x', id))"
        " WHERE id % 20 = 0 AND id BETWEEN :first AND :last",
        values,
    )


def add_files(data_dir: Path, picture: bytes, first: int, count: int) -> None:
    """Add the files of the pictures of :func:`add_jobs`, all with the same content."""
    images, sources = data_dir / "images", data_dir / "sources"
    for folder in (images, sources):
        folder.mkdir(parents=True, exist_ok=True)
    content = data_dir / "picture"
    content.write_bytes(picture)
    for number in range(first, first + count):
        if number % 5000 == 0:  # a file system bounds the names of one file
            content.unlink()
            content.write_bytes(picture)
        os.link(content, images / f"{number:012x}.png")
        if number % 20 == 0:
            os.link(content, sources / f"{number:032x}.png")
    content.unlink()
