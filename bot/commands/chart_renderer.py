"""Renders usage charts, one at a time and with a pause between two of one member."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import discord

from bot.commands.free_work import FreeWorkThrottle


class ChartRenderer:
    """Draws charts one after the other in a thread of its own, so that many charts keep no job waiting."""

    def __init__(self) -> None:
        self._throttle = FreeWorkThrottle()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="charts")

    async def show(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        alt_text: str,
        draw: Callable[[], bytes],
        *more: discord.File,
    ) -> None:
        """Answer the member alone with the text, the chart and more files.

        ``draw`` returns the chart as PNG and may block. The first chart takes seconds, so the answer is deferred.
        Raises :class:`bot.errors.Refusal` if the member had a chart less than two seconds ago.
        """
        self._throttle.check(interaction.user.id)
        if not interaction.response.is_done():
            await interaction.response.defer(ephemeral=True, thinking=True)
        png = await asyncio.get_running_loop().run_in_executor(self._thread, draw)
        chart = discord.File(BytesIO(png), "usage.png", description=alt_text)
        await interaction.followup.send(text, files=[chart, *more], ephemeral=True, suppress_embeds=True)

    def close(self) -> None:
        """Drop the charts that have not started. Does not wait for the one that is being rendered."""
        self._thread.shutdown(wait=False, cancel_futures=True)
