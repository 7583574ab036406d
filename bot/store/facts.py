"""Small facts the program keeps about itself, by name."""

from __future__ import annotations

import sqlite3

from bot.store.database import Database


async def read_fact(database: Database, name: str) -> str | None:
    rows = await database.query("SELECT value FROM facts WHERE name = ?", (name,))
    return rows[0]["value"] if rows else None


async def write_fact(database: Database, name: str, value: str) -> None:
    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    await database.write(write)
