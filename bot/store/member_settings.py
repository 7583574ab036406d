"""The table ``member_settings``: members' own defaults, a row per member and setting, as text."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from bot.store.database import Database


async def read_values(database: Database, member_id: int) -> dict[str, str]:
    """Return what the member has set, by name."""
    rows = await database.query("SELECT name, value FROM member_settings WHERE member_id = ?", (member_id,))
    return {row["name"]: row["value"] for row in rows}


def write_values(connection: sqlite3.Connection, member_id: int, values: Mapping[str, str]) -> None:
    """Set these values and keep the member's others. Part of a transaction."""
    connection.executemany(
        "INSERT OR REPLACE INTO member_settings (member_id, name, value) VALUES (?, ?, ?)",
        [(member_id, name, value) for name, value in values.items()],
    )


def delete_values(connection: sqlite3.Connection, member_id: int) -> None:
    """Delete everything that the member has set. Part of a transaction."""
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
