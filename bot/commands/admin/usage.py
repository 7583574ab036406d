"""``/admin usage``: what the server used, as a chart, a table and a CSV."""

from __future__ import annotations

import asyncio
from functools import partial
from io import BytesIO
from typing import Any

import aiohttp
import discord
from discord import app_commands

from bot.commands.admin.context import answer, guild_of
from bot.commands.parts import BotParts
from bot.commands.usage import days_of, period_text
from bot.store import usage
from bot.store.usage import By
from bot.views.reports import Period, Report, alt_text, report_chart, report_csv, report_text

_NAMES_SECONDS = 5.0


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
        names = await _names(interaction.guild, report)
        files = []
        if export:
            table = BytesIO(await asyncio.to_thread(report_csv, report, names))
            files = [discord.File(table, f"usage-{period.replace(' ', '-')}-by-{by}.csv")]
        await parts.charts.show(
            interaction, report_text(report), alt_text(report), partial(report_chart, report, names), *files
        )


async def _names(guild: discord.Guild | None, report: Report) -> dict[int, str]:
    """Return the names of the members or channels in the report, as far as they are known within five seconds."""
    if guild is None or report.by not in ("user", "channel"):
        return {}
    if report.by == "channel":
        channels = [guild.get_channel_or_thread(share.key) for share in report.shares if isinstance(share.key, int)]
        return {channel.id: f"#{channel.name}" for channel in channels if channel is not None}
    ids = [share.key for share in report.shown if isinstance(share.key, int)]
    found = await asyncio.gather(*(_member_name(guild, member_id) for member_id in ids))
    return {member_id: name for member_id, name in zip(ids, found, strict=True) if name is not None}


async def _member_name(guild: discord.Guild, member_id: int) -> str | None:
    member = guild.get_member(member_id)
    try:
        async with asyncio.timeout(_NAMES_SECONDS):
            return (member or await guild.fetch_member(member_id)).display_name
    except (discord.HTTPException, aiohttp.ClientError, OSError):
        return None  # has left, or Discord is slow
