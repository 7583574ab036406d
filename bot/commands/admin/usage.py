"""``/admin usage``: what the server used, as a chart, a table and a CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
import discord
import structlog
from discord import app_commands

from bot.commands.admin.context import answer, guild_of
from bot.commands.parts import BotParts
from bot.commands.usage import days_of, period_text
from bot.store import usage
from bot.store.usage import By, Share
from bot.views.reports import Period, Report, report_alt_text, report_chart, report_csv, report_text

log = structlog.get_logger(__name__)

_NAMES_SECONDS = 5.0
_MEMBERS_AT_ONCE = 100
"""Discord's limit for one question."""


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    @admin.command(name="usage", description="What was used in this server: a chart and a table")
    @app_commands.describe(
        period="How far back; 30 days if you leave it out",
        by="What the bars stand for; days if you leave it out",
        member="One person only",
        export="Attach everything as CSV, for a spreadsheet",
    )
    async def show_usage(
        interaction: discord.Interaction[Any],
        period: Period = "30 days",
        by: By = "day",
        member: discord.User | None = None,
        export: bool = False,  # noqa: FBT001, FBT002 - an option of the command
    ) -> None:
        days = days_of(period)
        member_id = member.id if member is not None else None
        shares = await usage.shares(parts.database, guild_of(interaction), days, by, member_id)
        if not shares:
            who = f"<@{member_id}> has not" if member_id is not None else "Nobody has"
            await answer(interaction, f"{who} used me in this server {period_text(period)}.")
            return
        await interaction.response.defer(ephemeral=True, thinking=True)
        whose = f"Usage of <@{member_id}>" if member_id is not None else "Usage"
        report = Report(f"{whose} in this server", days, by, shares)
        names, gone = await _names(interaction.guild, report, report.shares if export else report.shown)
        report = replace(report, gone=gone)
        files = []
        if export:
            table = BytesIO(await asyncio.to_thread(report_csv, report, names))
            files = [discord.File(table, f"usage-{period.replace(' ', '-')}-by-{by}.csv")]
        await parts.charts.show(
            interaction,
            await asyncio.to_thread(report_text, report),
            await asyncio.to_thread(report_alt_text, report, names),
            partial(report_chart, report, names),
            *files,
        )


async def _names(
    guild: discord.Guild | None, report: Report, shares: Sequence[Share]
) -> tuple[dict[int, str], frozenset[int]]:
    """Return the names of the members or channels of ``shares``, and the ids of channels that were deleted.

    Both as far as they are found within five seconds.
    """
    ids = [share.key for share in shares if isinstance(share.key, int)]
    names: dict[int, str] = {}
    gone: set[int] = set()
    if guild is None or report.by not in ("user", "channel"):
        return names, frozenset()
    try:
        async with asyncio.timeout(_NAMES_SECONDS):
            if report.by == "user":
                await _find_members(guild, ids, names)
            else:
                await _find_channels(guild, ids, names, gone)
    except (TimeoutError, discord.DiscordException, aiohttp.ClientError, OSError) as error:
        log.info("names_not_found", guild=guild.id, found=len(names), wanted=len(ids), reason=type(error).__name__)
    return names, frozenset(gone)


async def _find_members(guild: discord.Guild, ids: Sequence[int], names: dict[int, str]) -> None:
    """Add the names of those who are in the server."""
    names |= {member.id: member.display_name for id_ in ids if (member := guild.get_member(id_)) is not None}
    unknown = [id_ for id_ in ids if id_ not in names]
    for first in range(0, len(unknown), _MEMBERS_AT_ONCE):
        asked = unknown[first : first + _MEMBERS_AT_ONCE]
        members = await guild.query_members(user_ids=asked, limit=_MEMBERS_AT_ONCE, cache=False)
        names |= {member.id: member.display_name for member in members}


async def _find_channels(guild: discord.Guild, ids: Sequence[int], names: dict[int, str], gone: set[int]) -> None:
    """Add the names of channels that exist, and the ids of those that were deleted.

    Discord is asked about those that are not cached, such as archived threads.
    """
    for id_ in ids:
        channel = guild.get_channel_or_thread(id_)
        try:
            names[id_] = f"#{(channel or await guild.fetch_channel(id_)).name}"
        except discord.NotFound:
            gone.add(id_)
        except (discord.Forbidden, discord.InvalidData):
            continue  # it exists, but the bot may not see it
