"""``/admin words``: what prompts in this server may not contain."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import answer, guild_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.inert import cut
from bot.moderation import word_filter as filters
from bot.moderation.patterns import Pattern
from bot.store.audit import Change
from bot.store.moderation import Word, add_word, count_words, find_word, remove_word, words_in, words_of
from bot.views.audit import hidden, quoted
from bot.views.moderation import WordPages

_CHOICE_LIMIT = 100
_CHOICES = 25


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin
    words = app_commands.Group(name="words", description="What prompts may not contain", parent=admin)

    @words.command(name="add", description="Refuse prompts with a word, or with what a pattern matches")
    @app_commands.describe(
        word="A word, or several in a row; whole words only, upper and lower case alike",
        pattern="True: it is a regular expression",
        sentence="What the member is told; if left out, a sentence that does not repeat the word",
    )
    async def add(
        interaction: discord.Interaction[Any],
        word: str,
        *,
        pattern: bool = False,
        sentence: app_commands.Range[str, 1, filters.SENTENCE_LENGTH_MAX] | None = None,
    ) -> None:
        guild_id = guild_of(interaction)
        said = " ".join(sentence.split()) or None if sentence else None
        wanted = await _read(word, said, pattern=pattern)
        row = await context.change(interaction, partial(_add, guild_id=guild_id, word=wanted))
        context.jobs.admission.forget_words(guild_id)
        noun = "what this pattern matches" if pattern else "this"
        state = "may no longer contain" if row is not None else "were already not allowed to contain"
        shown_sentence = quoted(said or filters.NOT_WANTED, 250)
        await answer(
            interaction,
            f"Prompts {state} {noun}: {hidden(wanted.word, 250)}\nMembers who try it are told: {shown_sentence}",
        )

    @words.command(name="remove", description="Let prompts contain it again")
    @app_commands.describe(word="A word of the list")
    async def remove(interaction: discord.Interaction[Any], word: str) -> None:
        guild_id = guild_of(interaction)
        row = await context.change(interaction, partial(_remove, guild_id=guild_id, text=word))
        if row is None:
            raise Refusal(f"{hidden(word, 100)} is not in the list; /admin words list shows what is.")
        context.jobs.admission.forget_words(guild_id)
        await answer(interaction, f"Prompts may contain this again: {hidden(row.change.target, 250)}")

    @remove.autocomplete("word")
    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        known = await words_of(context.database, guild_of(interaction))
        shown = [cut(word.word, _CHOICE_LIMIT) for word in known if typed.casefold() in word.word.casefold()]
        return [app_commands.Choice(name=text, value=text) for text in shown[:_CHOICES]]

    @words.command(name="list", description="What prompts may not contain")
    async def listed(interaction: discord.Interaction[Any]) -> None:
        await WordPages.show(interaction)


async def _read(text: str, sentence: str | None, *, pattern: bool) -> Word:
    """Return the word or pattern. Raises :class:`Refusal` if it is not valid."""
    if not pattern:
        return Word(filters.read_word(text), "word", sentence)
    await asyncio.to_thread(Pattern, text)
    return Word(text, "pattern", sentence)


def _add(connection: sqlite3.Connection, *, guild_id: int, word: Word) -> Change | None:
    before = find_word(connection, guild_id, word.word)
    if before == word:
        return None
    limit = filters.PATTERNS_MAX if word.kind == "pattern" else filters.WORDS_MAX
    if (before is None or before.kind != word.kind) and count_words(connection, guild_id, word.kind) >= limit:
        raise Refusal(f"A server has at most {limit} {word.kind}s: remove one before you add another.")
    add_word(connection, guild_id, word)
    return Change("words add", word.word, _state(before), _state(word))


def _remove(connection: sqlite3.Connection, *, guild_id: int, text: str) -> Change | None:
    """Remove the word that was typed, or chosen from the autocomplete, which cuts long patterns."""
    known = words_in(connection, guild_id)
    names = [text, filters.normal_word(text)]
    found = next((word for name in names for word in known if word.word == name), None)
    if found is None and text.endswith("…"):
        alike = [word for word in known if cut(word.word, _CHOICE_LIMIT) == text]
        if len(alike) > 1:
            raise Refusal("Several patterns begin like that: write the whole pattern.")
        found = alike[0] if alike else None
    if found is None:
        return None
    remove_word(connection, guild_id, found.word)
    return Change("words remove", found.word, _state(found), _state(None))


def _state(word: Word | None) -> str:
    if word is None:
        return "not there"
    return f"{word.kind}, says “{word.sentence}”" if word.sentence else word.kind
