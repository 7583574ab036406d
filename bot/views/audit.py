"""Changes by admins as lines of text, for the log channel and ``/admin audit``."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from functools import partial

import discord

from bot.inert import inert, one_line
from bot.plurals import counted
from bot.store.audit import AuditRow, Change, count_changes, newest
from bot.store.database import Database
from bot.store.limits import LIMITS
from bot.views.channels import name_categories
from bot.views.pages import Page, PageButton, fit, page_template

_VALUE_SHOWN = 120
_VALUE_KEPT = 40
_TARGET_KEPT = 24
# Plain words, and mentions, which ping nobody in the bot's messages.
_PLAIN = re.compile(r"(?:<(?:@&?|#)\d{1,20}>|<t:\d{1,12}(?::\w)?>|[^\W_]|(?<=\w)_(?=\w)|[ .,:;%×()“”+-])+")


def audit_line(row: AuditRow, length: int = _VALUE_SHOWN) -> str:
    """Return one line: time, actor, action, target, before → after, reason. Free texts are cut to ``length``."""
    change = row.change
    reason = f" · {quoted(change.reason, length)}" if change.reason else ""
    values = f"{_shown(change.before, length)} → {_shown(change.after, length)}"
    return f"<t:{row.at}> <@{row.actor_id}> **{_action(change.action)}**{_target(change, length)}: {values}{reason}"


def hidden(text: str, length: int) -> str:
    """Return somebody's text behind a spoiler, as inline code of at most ``length`` characters."""
    # First without the characters that are left out below: between two bars one of them would hide a spoiler's end.
    text = one_line(text)
    while "||" in text:
        text = text.replace("||", "|\u200b|")
    return f"||{quoted(text, length)}||"


def quoted(text: str, length: int) -> str:
    """Return somebody's text as inline code of at most ``length`` characters; "nothing" if it shows nothing."""
    code = inert(text, length)
    return code if code.strip("`") else "nothing"


class AuditPages(PageButton, template=page_template("audit")):
    """The list of changes in a server."""

    name = "audit"

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        page = await database.read(partial(_page, guild_id=guild.id, number=number))
        return replace(page, lines=[name_categories(line, guild) for line in page.lines])


def _page(connection: sqlite3.Connection, guild_id: int, number: int) -> Page:
    total = count_changes(connection, guild_id)
    if not total:
        return Page("Nothing was changed in this server yet.", [], 0, 0)
    place = AuditPages.place(number, total)
    rows = newest(connection, guild_id, count=place.count, skip=place.skip)
    return Page(
        f"**{counted(total, 'change')} in this server**, the newest first", fit(rows, audit_line), place.number, total
    )


def _action(action: str) -> str:
    """Return an action with the name that people know of a limit in it."""
    verb, _, name = action.rpartition(" ")
    titles = [kind.title for kind in LIMITS.values() if kind.name == name]
    return f"{verb}: {titles[0]}" if titles else action


def _target(change: Change, length: int) -> str:
    if change.action.startswith("words"):
        return f" {hidden(change.target, length)}"
    return f" {_shown(change.target, length, _TARGET_KEPT)}" if change.target else ""


def _shown(text: str, length: int, kept: int = _VALUE_KEPT) -> str:
    """Return a value as it is if it is harmless, else as inline code. Up to ``kept`` characters are never cut."""
    plain = len(text) <= max(length, kept) and _PLAIN.fullmatch(text) and text.strip()
    return text if plain else quoted(text, length)
