"""Blocks, channel rules, pauses, and the words that prompts may not contain.

Unless they are async, functions are part of a transaction. The ``guild_id`` of what holds everywhere is
:data:`~bot.store.guild_settings.INSTANCE`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bot.store.database import Database
from bot.store.guild_settings import PAUSED, drop_setting, find_setting, write_setting

Rule = Literal["allow", "deny"]
WordKind = Literal["word", "pattern"]


@dataclass(frozen=True, slots=True)
class Block:
    """A member who may not use the bot until a time in UTC seconds, or for good (``until`` None)."""

    member_id: int
    until: int | None
    reason: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word or regular expression that prompts may not contain. ``sentence`` is the refusal; None is the usual one."""

    word: str
    kind: WordKind
    sentence: str | None


def write_block(connection: sqlite3.Connection, guild_id: int, block: Block) -> Block | None:
    """Block a member. Returns the block that this replaces, None if there was none."""
    before = find_block(connection, guild_id, block.member_id, block.at)
    connection.execute(
        "INSERT OR REPLACE INTO blocks (guild_id, member_id, until, reason, at) VALUES (?, ?, ?, ?, ?)",
        (guild_id, block.member_id, block.until, block.reason, block.at),
    )
    return before


def lift_block(connection: sqlite3.Connection, guild_id: int, member_id: int, now: int) -> Block | None:
    """Unblock a member. Returns the block that was lifted, None if there was none."""
    before = find_block(connection, guild_id, member_id, now)
    connection.execute("DELETE FROM blocks WHERE guild_id = ? AND member_id = ?", (guild_id, member_id))
    return before


def find_block(connection: sqlite3.Connection, guild_id: int, member_id: int, now: int) -> Block | None:
    """Return the member's block, None if there is none or it has run out."""
    row = connection.execute(
        "SELECT member_id, until, reason, at FROM blocks"
        " WHERE guild_id = ? AND member_id = ? AND (until IS NULL OR until > ?)",
        (guild_id, member_id, now),
    ).fetchone()
    return Block(**dict(row)) if row is not None else None


def blocks_of(
    connection: sqlite3.Connection, guild_id: int, now: int, *, count: int = -1, skip: int = 0
) -> list[Block]:
    """Return a server's blocks, the newest first; all of them by default."""
    rows = connection.execute(
        "SELECT member_id, until, reason, at FROM blocks WHERE guild_id = ? AND (until IS NULL OR until > ?)"
        " ORDER BY at DESC, member_id LIMIT ? OFFSET ?",
        (guild_id, now, count, skip),
    )
    return [Block(**dict(row)) for row in rows]


def count_blocks(connection: sqlite3.Connection, guild_id: int, now: int) -> int:
    """Return the number of a server's blocks that have not run out."""
    row = connection.execute(
        "SELECT count(*) AS number FROM blocks WHERE guild_id = ? AND (until IS NULL OR until > ?)", (guild_id, now)
    ).fetchone()
    return int(row["number"])


def write_channel_rule(
    connection: sqlite3.Connection, guild_id: int, channel_id: int, rule: Rule | None
) -> Rule | None:
    """Set the rule of a category, channel or thread, or delete it (None). Returns the rule that there was."""
    before = channel_rules(connection, guild_id).get(channel_id)
    connection.execute("DELETE FROM channel_rules WHERE guild_id = ? AND channel_id = ?", (guild_id, channel_id))
    if rule is not None:
        connection.execute(
            "INSERT INTO channel_rules (guild_id, channel_id, rule) VALUES (?, ?, ?)", (guild_id, channel_id, rule)
        )
    return before


def channel_rules(connection: sqlite3.Connection, guild_id: int) -> dict[int, Rule]:
    """Return a server's rules by the id of a category, channel or thread."""
    rows = connection.execute("SELECT channel_id, rule FROM channel_rules WHERE guild_id = ?", (guild_id,))
    return {row["channel_id"]: row["rule"] for row in rows}


def allowed_in(rules: dict[int, Rule], channels: tuple[int, ...]) -> bool:
    """Return whether the bot may be used in the first of ``channels``; the others are its channel and category.

    The first of them that has a rule decides. If none has, the bot may be used unless another place has ``allow``.
    """
    for channel_id in channels:
        if channel_id in rules:
            return rules[channel_id] == "allow"
    return "allow" not in rules.values()


def set_paused(connection: sqlite3.Connection, guild_id: int, *, paused: bool) -> bool:
    """Pause a server, or resume it. Returns False if nothing changed."""
    if (find_setting(connection, guild_id, PAUSED) == "on") == paused:
        return False
    if paused:
        write_setting(connection, guild_id, PAUSED, "on")
    else:
        drop_setting(connection, guild_id, PAUSED)
    return True


def paused_guilds(connection: sqlite3.Connection) -> list[int]:
    """Return the ids of paused servers, with :data:`~bot.store.guild_settings.INSTANCE` if the whole bot is paused."""
    rows = connection.execute("SELECT guild_id FROM guild_settings WHERE name = ? AND value = 'on'", (PAUSED,))
    return [row["guild_id"] for row in rows]


def add_word(connection: sqlite3.Connection, guild_id: int, word: Word) -> None:
    """Add a word or pattern, replacing one with the same text."""
    connection.execute(
        "INSERT OR REPLACE INTO words (guild_id, word, kind, sentence) VALUES (?, ?, ?, ?)",
        (guild_id, word.word, word.kind, word.sentence),
    )


def remove_word(connection: sqlite3.Connection, guild_id: int, word: str) -> Word | None:
    """Remove a word or pattern. Returns it, None if there was none."""
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
    """Return the number of a server's words and patterns, or of one kind."""
    row = connection.execute(
        "SELECT count(*) AS number FROM words WHERE guild_id = ? AND kind = coalesce(?, kind)", (guild_id, kind)
    ).fetchone()
    return int(row["number"])


def words_in(connection: sqlite3.Connection, guild_id: int, *, count: int = -1, skip: int = 0) -> list[Word]:
    """Return a server's words and patterns in the order of their text; all of them by default."""
    rows = connection.execute(
        "SELECT word, kind, sentence FROM words WHERE guild_id = ? ORDER BY word LIMIT ? OFFSET ?",
        (guild_id, count, skip),
    )
    return [Word(**dict(row)) for row in rows]


async def words_of(database: Database, guild_id: int) -> list[Word]:
    """Return all of a server's words and patterns."""
    return await database.read(partial(words_in, guild_id=guild_id))
