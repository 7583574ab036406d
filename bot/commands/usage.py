"""``/usage``: what a member used, by day; and how a report with its chart is shown, for ``/admin usage`` too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.gallery import FreeWorkThrottle
from bot.commands.invocation import InteractionInvocation
from bot.store import usage
from bot.store.database import Database
from bot.store.usage import Days
from bot.views.reports import PERIODS, Period, Report, alt_text, member_chart, report_text, used_text


class Charts:
    """Draws charts one after the other in a thread of their own: who asks for many keeps nobody's pictures waiting."""

    def __init__(self) -> None:
        self._throttle = FreeWorkThrottle()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="charts")

    async def draw(self, draw: Callable[[], bytes]) -> bytes:
        """The chart that ``draw``, which blocks, makes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, draw)

    def check(self, member: int) -> None:
        """Raises :class:`bot.errors.Refusal` for who asks again too soon."""
        self._throttle.check(member)

    def close(self) -> None:
        """What is being drawn is drawn to its end, the rest is not; waits for nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class UsageCog(commands.Cog):
    """For members, about themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @app_commands.command(name="usage", description="What you have used here: credits, jobs and device time by day")
    @app_commands.describe(period="How far back; 7 days if you leave it out")
    async def usage(self, interaction: discord.Interaction[Any], period: Period = "7 days") -> None:
        requester = InteractionInvocation(interaction).requester
        days = days_of(period)
        shares = await usage.shares(self._database, requester.scope_id, days, "day", requester.member_id)
        everywhere = await usage.used_everywhere(self._database, requester.member_id, days)
        here = "in this server" if requester.scope_id else "in direct messages"
        report = Report(f"Your usage {here}", days, "day", shares)
        together = f"In all places together: {used_text(everywhere)}." if everywhere != report.total else ""
        if not shares:
            nothing = f"You have not used me {here} {period_text(period)}."
            await interaction.response.send_message(f"{nothing} {together}".strip(), ephemeral=True)
            return
        text = f"{report_text(report)}\n-# {together}" if together else report_text(report)
        await show_chart(interaction, text, alt_text(report), partial(member_chart, report))


async def show_chart(
    interaction: discord.Interaction[Any],
    text: str,
    description: str,
    draw: Callable[[], bytes],
    *more: discord.File,
) -> None:
    """Draw, which blocks, and show the chart under the text, to the member alone. The first chart takes seconds.

    Raises :class:`bot.errors.Refusal` for who asked for one just before.
    """
    charts: Charts = interaction.client.charts
    charts.check(interaction.user.id)
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    png = await charts.draw(draw)
    chart = discord.File(BytesIO(png), "usage.png", description=description)
    await interaction.followup.send(text, files=[chart, *more], ephemeral=True, suppress_embeds=True)


def days_of(period: Period) -> Days:
    """The days of UTC that end today."""
    return Days.until(int(time.time()), PERIODS[period])


def period_text(period: Period) -> str:
    return "today" if period == "today" else f"in the last {period}"
