"""Short texts that the program stores about itself, by name, such as a hash of the registered commands."""

from __future__ import annotations

import sqlite3

from bot.store.database import Database


async def read_fact(database: Database, name: str) -> str | None:
    """Return a stored text, None if there is none."""
    rows = await database.query("SELECT value FROM facts WHERE name = ?", (name,))
    return rows[0]["value"] if rows else None


async def write_fact(database: Database, name: str, value: str) -> None:
    """Store a text, replacing an earlier one."""

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    await database.write(write)
