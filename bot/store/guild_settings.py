"""What a server's admins have set, by name."""

from __future__ import annotations

import sqlite3

from bot.store.database import Database

INSTANCE = 0
"""The ``guild_id`` of what holds for the whole instance: every server and direct messages."""


async def read_setting(database: Database, guild_id: int | None, name: str) -> str | None:
    """The value that was set, or None: direct messages have no settings."""
    if guild_id is None:
        return None
    rows = await database.query("SELECT value FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name))
    return rows[0]["value"] if rows else None


async def read_settings(database: Database, guild_id: int) -> dict[str, str]:
    """Everything that was set in a server."""
    rows = await database.query("SELECT name, value FROM guild_settings WHERE guild_id = ?", (guild_id,))
    return {row["name"]: row["value"] for row in rows}


def write_setting(connection: sqlite3.Connection, guild_id: int, name: str, value: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO guild_settings (guild_id, name, value) VALUES (?, ?, ?)", (guild_id, name, value)
    )


def drop_setting(connection: sqlite3.Connection, guild_id: int, name: str) -> None:
    """Back to the default."""
    connection.execute("DELETE FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name))
