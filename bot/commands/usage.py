"""``/usage``: what a member used, by day."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.store import usage
from bot.store.usage import Days
from bot.views.reports import PERIODS, Period, Report, member_alt_text, member_chart, report_text, used_text


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/usage``."""

    @bot.tree.command(
        name="usage", description="What you have used here, by day: credits, requests and time on the device"
    )
    @app_commands.describe(period="How far back; 7 days if you leave it out")
    async def show_usage(interaction: discord.Interaction[Any], period: Period = "7 days") -> None:
        requester = InteractionInvocation(interaction).requester
        days = days_of(period)
        shares = await usage.shares(parts.database, requester.scope_id, days, "day", requester.member_id)
        everywhere = await usage.used_everywhere(parts.database, requester.member_id, days)
        here = "in this server" if requester.scope_id else "in direct messages"
        report = Report(f"Your usage {here}", days, "day", shares)
        together = f"Across all servers and DMs: {used_text(everywhere)}." if everywhere != report.total else ""
        if not shares:
            nothing = f"You have not used me {here} {period_text(period)}."
            await interaction.response.send_message(f"{nothing} {together}".strip(), ephemeral=True)
            return
        text = f"{report_text(report)}\n-# {together}" if together else report_text(report)
        await parts.charts.show(interaction, text, member_alt_text(report), partial(member_chart, report))


def days_of(period: Period) -> Days:
    """Return the days of UTC that end today."""
    return Days.until(int(time.time()), PERIODS[period])


def period_text(period: Period) -> str:
    """Return "today" or "in the last 7 days"."""
    return "today" if period == "today" else f"in the last {period}"
