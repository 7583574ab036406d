"""Lists for admins: who is blocked, which words prompts may not contain, and where the bot may be used."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial

import discord
import structlog

from bot.inert import cut
from bot.moderation.stored_patterns import StoredPattern, read_stored
from bot.plurals import counted
from bot.store.database import Database
from bot.store.guild_settings import AGE_RESTRICTED_ONLY, read_setting
from bot.store.moderation import (
    Block,
    Rule,
    Word,
    blocks_of,
    channel_rules,
    count_blocks,
    words_of,
)
from bot.views.audit import hidden, quoted
from bot.views.channels import name_categories
from bot.views.discord_requests import reason_of
from bot.views.pages import Page, PageButton, fit, page_template

log = structlog.get_logger(__name__)

_PATIENCE = 1.5
"""Seconds to wait for Discord's answers about channels; the interaction itself must be answered within three."""


class BlockedPages(PageButton, template=page_template("blocked")):
    """The members who are blocked in this server."""

    name = "blocked"

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        return await database.read(partial(_blocked, guild_id=guild.id, number=number))


class WordPages(PageButton, template=page_template("words")):
    """The words and patterns that prompts in this server may not contain."""

    name = "words"
    entries_per_page = 15

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        known = await words_of(database, guild.id)
        return await asyncio.to_thread(_words, known, number)


class ChannelPages(PageButton, template=page_template("channels")):
    """The rules for channels, and what follows from them."""

    name = "channels"
    entries_per_page = 20

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        rules = await database.read(partial(channel_rules, guild_id=guild.id))
        adults = await read_setting(database, guild.id, AGE_RESTRICTED_ONLY) == "on"
        place = cls.place(number, len(rules))
        shown = sorted(rules, key=lambda channel_id: (rules[channel_id], channel_id))[place.skip :][: place.count]
        gone = await gone_channels(guild, shown, _PATIENCE)
        lines = [
            f"{rules[channel_id]}: "
            + (f"deleted channel {channel_id}" if channel_id in gone else name_categories(f"<#{channel_id}>", guild))
            for channel_id in shown
        ]
        return Page(_meaning(rules, age_restricted_only=adults), lines, place.number, len(rules))


RULE_PAGES = (BlockedPages, WordPages, ChannelPages)


async def gone_channels(guild: discord.Guild, channel_ids: list[int], patience: float | None = None) -> set[int]:
    """Return which of the channels were deleted.

    Discord is asked about those that are not cached, such as archived threads. What it does not answer within
    ``patience`` seconds (None: no limit) counts as existing.
    """

    async def is_gone(channel_id: int) -> bool:
        try:
            await guild.fetch_channel(channel_id)
        except discord.NotFound:
            return True
        except (discord.HTTPException, discord.InvalidData) as error:  # it exists, but the bot may not see it
            log.info("channel_not_seen", guild=guild.id, channel=channel_id, reason=reason_of(error))
        return False

    unknown = [channel_id for channel_id in channel_ids if guild.get_channel_or_thread(channel_id) is None]
    asked = {asyncio.create_task(is_gone(channel_id)): channel_id for channel_id in unknown}
    if not asked:
        return set()
    done, late = await asyncio.wait(asked, timeout=patience)
    for task in late:  # shown as existing
        task.cancel()
    return {asked[task] for task in done if task.result()}


def block_end(block: Block) -> str:
    return f"until <t:{block.until}:f>" if block.until is not None else "for good"


def _blocked(connection: sqlite3.Connection, guild_id: int, number: int) -> Page:
    now = int(time.time())
    total = count_blocks(connection, guild_id, now)
    if not total:
        return Page("Nobody is blocked in this server.", [], 0, 0)
    place = BlockedPages.place(number, total)
    blocks = blocks_of(connection, guild_id, now, count=place.count, skip=place.skip)
    noun = counted(total, "member is", "members are")
    return Page(f"**{noun} blocked in this server**, the newest first", fit(blocks, _block_line), place.number, total)


def _block_line(block: Block, length: int) -> str:
    end = f"ends <t:{block.until}:R>" if block.until is not None else "for good"
    reason = f" · {quoted(block.reason, length)}" if block.reason else ""
    return f"<@{block.member_id}> {end}{reason}"


def _words(known: list[Word], number: int) -> Page:
    """Return a page of a server's words and patterns. Blocks: it compiles the patterns, to say which to replace."""
    if not known:
        return Page("Prompts in this server may contain anything: there are no words and no patterns.", [], 0, 0)
    stored = {word.word: read_stored(word.word) for word in known if word.kind == "pattern"}
    place = WordPages.place(number, len(known))
    words, patterns = len(known) - len(stored), len(stored)
    heading = f"**Prompts in this server may not contain** these words ({words}) and patterns ({patterns})"
    unreadable = [pattern for pattern in stored.values() if pattern.reason is not None]
    if unreadable:
        noun = counted(len(unreadable), "pattern has", "patterns have")
        heading = f"**{noun} to be replaced**\n{heading}"
    # Python's sort is stable, so the rest stays in the order of its text.
    listed = sorted(known, key=lambda word: word.word not in stored or stored[word.word].reason is None)
    shown = listed[place.skip :][: place.count]
    return Page(heading, fit(shown, partial(_word_line, stored=stored)), place.number, len(known))


def _word_line(word: Word, length: int, stored: dict[str, StoredPattern]) -> str:
    pattern = stored.get(word.word) if word.kind == "pattern" else None
    kind = " (pattern)" if pattern is not None else ""
    sentence = f" · says {quoted(word.sentence, length)}" if word.sentence else ""
    return f"{hidden(word.word, length)}{kind}{sentence}{_why_replace(pattern, length)}"


def _why_replace(pattern: StoredPattern | None, length: int) -> str:
    """Return what is wrong with an old pattern and what it does until it is replaced; "" for others."""
    if pattern is None or pattern.reason is None:
        return ""
    until = "refuses every prompt" if pattern.refuses_all else "still refuses what it matches"
    return f" · **replace it**, it {until}: {cut(pattern.reason, length)}"


def _meaning(rules: dict[int, Rule], *, age_restricted_only: bool) -> str:
    """Return in words what follows from a server's rules for channels."""
    if not rules:
        where = "There are no rules for channels: I may be used in all of them"
    elif "allow" in rules.values():
        where = "**I may be used only where it says allow**"
    else:
        where = "**I may be used everywhere except where it says deny**"
    if age_restricted_only:
        where += ", and in age-restricted channels only"
    nearest = " A thread's own rule goes before its channel's, and a channel's before its category's." if rules else ""
    return f"{where}.{nearest}"
