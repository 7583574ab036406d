"""What a server's admins have set, by name, and the table of what they can set."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from bot.store.database import Database

INSTANCE = 0
"""The ``guild_id`` of what holds for the whole instance: every server and direct messages."""

SPOILER = "spoiler"
EVERY_REPLY = "replies_as_edits"
EDITABLE = "edit_images_of"
AGE_RESTRICTED_ONLY = "age_restricted_only"
PRIVATE_PICTURES = "private_pictures"
ADMIN_ROLE = "admin_role"
LOG_CHANNEL = "log_channel"
PAUSED = "paused"
"""``on`` in a paused server, and for :data:`INSTANCE` if the operator paused the whole bot."""


@dataclass(frozen=True, slots=True)
class GuildSetting:
    """A setting that takes one of a few values. ``meanings`` holds a phrase for each value, the default's first."""

    name: str
    meanings: Mapping[str, str]

    @property
    def default(self) -> str:
        return next(iter(self.meanings))


@dataclass(frozen=True, slots=True)
class GuildLink:
    """A setting that is the id of a role or channel, written ``<{mark}{id}>`` in Discord.

    ``unset`` is the phrase shown if nothing is set.
    """

    name: str
    mark: str
    unset: str


GUILD_SETTINGS = (
    GuildSetting(SPOILER, {"off": "pictures are shown", "on": "pictures are hidden until somebody clicks"}),
    GuildSetting(
        EVERY_REPLY,
        {
            "off": "replies are edits where they start with edit:, have a flag or mention me",
            "on": "every reply to one of my pictures is an edit",
        },
    ),
    GuildSetting(
        EDITABLE,
        {
            "all": "everybody's pictures can be edited",
            "results": "all pictures that I generated can be edited",
            "own": "members edit their own pictures only",
        },
    ),
    GuildSetting(
        AGE_RESTRICTED_ONLY,
        {"off": "I may be used in all channels", "on": "I may be used in age-restricted channels only"},
    ),
    GuildSetting(
        PRIVATE_PICTURES,
        {"on": "members may ask for pictures that they alone see", "off": "every picture is public"},
    ),
)
"""Settings with values, in the order of the options of ``/admin settings``."""

GUILD_LINKS = (
    GuildLink(ADMIN_ROLE, "@&", "only members with Manage Server"),
    GuildLink(LOG_CHANNEL, "#", "changes are listed in /admin audit only"),
)


async def read_setting(database: Database, guild_id: int | None, name: str) -> str | None:
    """Return the value that was set; None if none was, and for direct messages (``guild_id`` None)."""
    if guild_id is None:
        return None
    rows = await database.query("SELECT value FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name))
    return rows[0]["value"] if rows else None


async def read_settings(database: Database, guild_id: int) -> dict[str, str]:
    """Return all values that were set in a server, by name."""
    rows = await database.query("SELECT name, value FROM guild_settings WHERE guild_id = ?", (guild_id,))
    return {row["name"]: row["value"] for row in rows}


def find_setting(connection: sqlite3.Connection, guild_id: int, name: str) -> str | None:
    """Return the value that was set, None if none was. Part of a transaction."""
    row = connection.execute(
        "SELECT value FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name)
    ).fetchone()
    return row["value"] if row is not None else None


def write_setting(connection: sqlite3.Connection, guild_id: int, name: str, value: str) -> None:
    """Set a value. Part of a transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO guild_settings (guild_id, name, value) VALUES (?, ?, ?)", (guild_id, name, value)
    )


def drop_setting(connection: sqlite3.Connection, guild_id: int, name: str) -> None:
    """Delete a value, so that the default holds. Part of a transaction."""
    connection.execute("DELETE FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name))
