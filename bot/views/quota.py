"""Limits as text: a member's own (``/quota``) and a server's (``/admin limits show``)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import discord

from bot.moderation.limit_texts import format_value, origin_text, renewal_text, together
from bot.requests.pricing import format_credits
from bot.store.admission import QuotaState, Terms
from bot.store.database import Database
from bot.store.limits import LIMITS, Limit, LimitName, LimitRow, limits_of
from bot.views.pages import Page, PageButton, page_template

_RENEWALS_SHOWN = 3
_WITH_USE: tuple[LimitName, ...] = ("credits_per_day", "concurrent_jobs", "queued_jobs")
"""Limits that ``/quota`` shows with how much of them is in use; of the others it shows the value alone."""


def quota_text(quota_state: QuotaState, terms: Terms, *, direct: bool, own: bool = True) -> str:
    """Return one line a limit: what is used and left, when it renews, and where the value comes from.

    ``direct`` for direct messages, ``own`` if the member themselves reads it.
    """
    lines = [
        f"**Your limits {'in direct messages' if direct else 'in this server'}**",
        *_credits_lines(quota_state, own=own),
    ]
    lines += _ceiling_lines(quota_state, terms, own=own)
    concurrent, queued = quota_state.limits["concurrent_jobs"], quota_state.limits["queued_jobs"]
    running, waiting = quota_state.open_jobs, 0
    if concurrent.value is not None:
        running, waiting = min(running, concurrent.value), max(0, running - concurrent.value)
    for limit, in_use in ((concurrent, running), (queued, waiting)):
        lines.append(_limit_line(limit, in_use, own=own))
    for name in LIMITS:
        if name not in _WITH_USE:
            lines.append(_limit_line(quota_state.limits[name], own=own))
    return "\n".join(lines)


def _limit_line(limit: Limit, in_use: int | None = None, *, own: bool) -> str:
    kind, value = LIMITS[limit.name], format_value(limit.name, limit.value)
    if limit.value is not None:
        value += kind.value_suffix
    if in_use is not None:
        value = f"{in_use}, unlimited" if limit.value is None else f"{in_use} of {value}"
    return f"{kind.title}: {value} · {origin_text(limit, own=own)}"


def _credits_lines(quota_state: QuotaState, *, own: bool) -> list[str]:
    day = quota_state.limits["credits_per_day"]
    title, used, origin = LIMITS[day.name].title, format_credits(quota_state.used), origin_text(day, own=own)
    if day.value is None:
        lines = [f"{title}: {used} used, unlimited · {origin}"]
    else:
        left = format_credits(max(0, day.value - quota_state.used))
        lines = [f"{title}: {used} of {format_credits(day.value)} used, **{left} left** · {origin}"]
        renewals = together(quota_state.renewals, int(time.time()))
        shown = renewals[:_RENEWALS_SHOWN]
        if shown:
            more = len(renewals) - len(shown)
            rest = f", and {more} more later" if more else ""
            lines.append(f"-# {', '.join(renewal_text(renewal) for renewal in shown)}{rest}")
    if quota_state.granted:
        lines.append(
            f"-# **{format_credits(quota_state.granted)} more** granted by an admin: used after the credits above, and "
            "kept until then"
        )
    return lines


def _ceiling_lines(quota_state: QuotaState, terms: Terms, *, own: bool) -> list[str]:
    """Return a line for each of the operator's ceilings of credits that applies here.

    What a member used elsewhere is theirs alone to know: an admin sees the ceiling, and nothing that is counted in it.
    """
    lines = []
    if terms.credits_per_user is not None and quota_state.used_everywhere is not None:
        used, total = format_credits(quota_state.used_everywhere), format_credits(terms.credits_per_user)
        counted = f"{used} of {total} credits used" if own else f"at most {total} credits"
        lines.append(f"-# Across all servers and DMs: {counted} · the operator's limit")
    if terms.credits_per_server is not None and quota_state.used_in_server is not None:
        used, total = format_credits(quota_state.used_in_server), format_credits(terms.credits_per_server)
        lines.append(f"-# This server: {used} of {total} credits used · the operator's limit")
    return lines


def target_text(target: str, target_id: int) -> str:
    """Return a limit's target as a mention."""
    return {"user": f"<@{target_id}>", "role": f"<@&{target_id}>", "everyone": "everyone"}[target]


def limit_line(row: LimitRow) -> str:
    """Return a limit that is set, with its target, value and end."""
    until = f" until <t:{row.until}:f>" if row.until is not None else ""
    value = format_value(row.name, row.value)
    return f"{target_text(row.target, row.target_id)}: {LIMITS[row.name].title} **{value}**{until}"


def limit_lines(rows: Iterable[LimitRow], terms: Terms) -> list[str]:
    """Return one line for each limit that is set in a server, and a last one with the defaults."""
    lines = [limit_line(row) for row in rows] or ["This server has no limits of its own."]
    defaults = [f"{kind.title}: {format_value(name, terms.defaults[name])}" for name, kind in LIMITS.items()]
    return [*lines, f"-# The defaults: {'; '.join(defaults)}."]


class LimitPages(PageButton, template=page_template("limits")):
    """The limits that are set in a server, if they are too many for one message."""

    name = "limits"
    entries_per_page = 20

    @classmethod
    async def read(cls, database: Database, guild: discord.Guild, number: int) -> Page:
        rows = await database.read(partial(limits_of, guild_id=guild.id, now=int(time.time())))
        place = cls.place(number, len(rows))
        lines = [limit_line(row) for row in rows[place.skip :][: place.count]]
        return Page(f"**{len(rows)} limits are set in this server**", lines, place.number, len(rows))
