"""What members have set with ``/settings``: defaults for their own pictures, by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """A member's own defaults; None is "not set".

    ``aspect`` is written like 16:9, ``size`` is the name of a size, ``count`` a number of images from 1.
    """

    aspect: str | None = None
    size: str | None = None
    count: int | None = None
    private: bool | None = None


def _is_on(value: str) -> bool:
    return value == "on"


_PARSERS: dict[str, Callable[[str], str | int | bool]] = {
    "aspect": str,
    "size": str,
    "count": int,
    "private": _is_on,
}


async def read_member_settings(database: Database, member_id: int) -> MemberSettings:
    """Return what the member has set."""
    rows = await database.query("SELECT name, value FROM member_settings WHERE member_id = ?", (member_id,))
    values = {row["name"]: _PARSERS[row["name"]](row["value"]) for row in rows if row["name"] in _PARSERS}
    return MemberSettings(**values)  # type: ignore[arg-type]  # each name is parsed to its own type


def write_member_settings(connection: sqlite3.Connection, member_id: int, member_settings: MemberSettings) -> None:
    """Set the values that are not None and keep the others. Part of a transaction."""
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
    """Delete all that the member has set. Part of a transaction."""
    connection.execute("DELETE FROM member_settings WHERE member_id = ?", (member_id,))
