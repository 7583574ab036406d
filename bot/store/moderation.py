"""Who may use the bot where: blocks, channel rules, pauses; and the words that prompts may not contain.

Functions are part of a transaction. ``guild_id`` 0 stands for the whole instance.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bot.store.database import Database
from bot.store.guild_settings import drop_setting, write_setting

Rule = Literal["allow", "deny"]
WordKind = Literal["word", "pattern"]

PAUSED = "paused"
AGE_RESTRICTED_ONLY = "age_restricted_only"


@dataclass(frozen=True, slots=True)
class Block:
    """``until`` in UTC seconds, None for good."""

    member_id: int
    until: int | None
    reason: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a regular expression that prompts may not contain, and a sentence for the member who wrote it."""

    word: str
    kind: WordKind
    sentence: str | None


def write_block(connection: sqlite3.Connection, guild_id: int, block: Block) -> Block | None:
    """Block a member; the block that there was."""
    before = find_block(connection, guild_id, block.member_id, block.at)
    connection.execute(
        "INSERT OR REPLACE INTO blocks (guild_id, member_id, until, reason, at) VALUES (?, ?, ?, ?, ?)",
        (guild_id, block.member_id, block.until, block.reason, block.at),
    )
    return before


def lift_block(connection: sqlite3.Connection, guild_id: int, member_id: int, now: int) -> Block | None:
    """Unblock a member; the block that there was, None where there was none."""
    before = find_block(connection, guild_id, member_id, now)
    connection.execute("DELETE FROM blocks WHERE guild_id = ? AND member_id = ?", (guild_id, member_id))
    return before


def find_block(connection: sqlite3.Connection, guild_id: int, member_id: int, now: int) -> Block | None:
    row = connection.execute(
        "SELECT member_id, until, reason, at FROM blocks"
        " WHERE guild_id = ? AND member_id = ? AND (until IS NULL OR until > ?)",
        (guild_id, member_id, now),
    ).fetchone()
    return Block(**dict(row)) if row is not None else None


def blocks_of(
    connection: sqlite3.Connection, guild_id: int, now: int, *, count: int = -1, skip: int = 0
) -> list[Block]:
    """The newest first; all of them where no ``count`` is given."""
    rows = connection.execute(
        "SELECT member_id, until, reason, at FROM blocks WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " ORDER BY at DESC, member_id LIMIT ? OFFSET ?",
        (guild_id, now, count, skip),
    )
    return [Block(**dict(row)) for row in rows]


def count_blocks(connection: sqlite3.Connection, guild_id: int, now: int) -> int:
    row = connection.execute(
        "SELECT count(*) AS number FROM blocks WHERE guild_id = ? AND (until IS NULL OR until > ?)", (guild_id, now)
    ).fetchone()
    return int(row["number"])


def write_channel_rule(
    connection: sqlite3.Connection, guild_id: int, channel_id: int, rule: Rule | None
) -> Rule | None:
    """Set a category's, channel's or thread's rule, or take it away (None); the rule that there was."""
    before = channel_rules(connection, guild_id).get(channel_id)
    connection.execute("DELETE FROM channel_rules WHERE guild_id = ? AND channel_id = ?", (guild_id, channel_id))
    if rule is not None:
        connection.execute(
            "INSERT INTO channel_rules (guild_id, channel_id, rule) VALUES (?, ?, ?)", (guild_id, channel_id, rule)
        )
    return before


def channel_rules(connection: sqlite3.Connection, guild_id: int) -> dict[int, Rule]:
    rows = connection.execute("SELECT channel_id, rule FROM channel_rules WHERE guild_id = ?", (guild_id,))
    return {row["channel_id"]: row["rule"] for row in rows}


def allowed_in(rules: dict[int, Rule], channels: tuple[int, ...]) -> bool:
    """The nearest rule decides: the thread's, its channel's, its category's. Without one the bot may be used
    wherever nothing is allowed expressly."""
    for channel_id in channels:
        if channel_id in rules:
            return rules[channel_id] == "allow"
    return "allow" not in rules.values()


def setting(connection: sqlite3.Connection, guild_id: int, name: str) -> str | None:
    row = connection.execute(
        "SELECT value FROM guild_settings WHERE guild_id = ? AND name = ?", (guild_id, name)
    ).fetchone()
    return row["value"] if row is not None else None


def set_paused(connection: sqlite3.Connection, guild_id: int, *, paused: bool) -> bool:
    """Pause a server, or let it go on; False where it was so already."""
    if (setting(connection, guild_id, PAUSED) == "on") == paused:
        return False
    if paused:
        write_setting(connection, guild_id, PAUSED, "on")
    else:
        drop_setting(connection, guild_id, PAUSED)
    return True


def paused_guilds(connection: sqlite3.Connection) -> list[int]:
    """The servers whose jobs wait until somebody resumes; 0 among them where everybody's do."""
    rows = connection.execute("SELECT guild_id FROM guild_settings WHERE name = ? AND value = 'on'", (PAUSED,))
    return [row["guild_id"] for row in rows]


def add_word(connection: sqlite3.Connection, guild_id: int, word: Word) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO words (guild_id, word, kind, sentence) VALUES (?, ?, ?, ?)",
        (guild_id, word.word, word.kind, word.sentence),
    )


def remove_word(connection: sqlite3.Connection, guild_id: int, word: str) -> Word | None:
    """What was removed, None where there was no such word."""
    row = connection.execute(
        "DELETE FROM words WHERE guild_id = ? AND word = ? RETURNING word, kind, sentence", (guild_id, word)
    ).fetchone()
    return Word(**dict(row)) if row is not None else None


def find_word(connection: sqlite3.Connection, guild_id: int, word: str) -> Word | None:
    row = connection.execute(
        "SELECT word, kind, sentence FROM words WHERE guild_id = ? AND word = ?", (guild_id, word)
    ).fetchone()
    return Word(**dict(row)) if row is not None else None


def count_words(connection: sqlite3.Connection, guild_id: int, kind: WordKind | None = None) -> int:
    """How many words and patterns a server has, or how many of one kind."""
    row = connection.execute(
        "SELECT count(*) AS number FROM words WHERE guild_id = ? AND kind = coalesce(?, kind)", (guild_id, kind)
    ).fetchone()
    return int(row["number"])


def words_in(connection: sqlite3.Connection, guild_id: int, *, count: int = -1, skip: int = 0) -> list[Word]:
    """A server's words and patterns by their text; all of them where no ``count`` is given."""
    rows = connection.execute(
        "SELECT word, kind, sentence FROM words WHERE guild_id = ? ORDER BY word LIMIT ? OFFSET ?",
        (guild_id, count, skip),
    )
    return [Word(**dict(row)) for row in rows]


async def words_of(database: Database, guild_id: int) -> list[Word]:
    return await database.read(partial(words_in, guild_id=guild_id))
