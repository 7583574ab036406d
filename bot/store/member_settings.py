"""What members have set for themselves: the defaults of their own pictures, by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """A member's own defaults. ``aspect`` as 16:9, ``size`` a size's name, ``count`` from 1; None is "not set"."""

    aspect: str | None = None
    size: str | None = None
    count: int | None = None
    private: bool | None = None


_READERS: dict[str, Callable[[str], str | int | bool]] = {
    "aspect": str,
    "size": str,
    "count": int,
    "private": "on".__eq__,
}


async def read_member_settings(database: Database, member_id: int) -> MemberSettings:
    """What the member has set."""
    rows = await database.query("SELECT name, value FROM member_settings WHERE member_id = ?", (member_id,))
    values = {row["name"]: _READERS[row["name"]](row["value"]) for row in rows if row["name"] in _READERS}
    return MemberSettings(**values)  # type: ignore[arg-type]  # each name is read as its own type


def write_member_settings(connection: sqlite3.Connection, member_id: int, member_settings: MemberSettings) -> None:
    """Set what is not None; what else was set stays. Part of a transaction."""
    values = {
        "aspect": member_settings.aspect,
        "size": member_settings.size,
        "count": None if member_settings.count is None else str(member_settings.count),
        "private": None if member_settings.private is None else ("on" if member_settings.private else "off"),
    }
    connection.executemany(
        "INSERT OR REPLACE INTO member_settings (member_id, name, value) VALUES (?, ?, ?)",
        [(member_id, name, value) for name, value in values.items() if value is not None],
    )


def delete_member_settings(connection: sqlite3.Connection, member_id: int) -> None:
    """Back to the program's defaults. Part of a transaction."""
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
