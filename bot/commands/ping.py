"""``/ping``: latency, queue, model and device."""

from __future__ import annotations

import math
from typing import Any

import discord
from discord.ext import commands

from bot.commands.parts import BotParts

_STATES = {
    "loading": "the model is loading; you can already ask for pictures",
    "ready": "ready",
    "recovering": "the device stopped and is being restarted; what was asked for goes on by itself",
    "failed": "the model could not be loaded; the operator's log says why",
    "closed": "shutting down",
}


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add ``/ping``."""

    @bot.tree.command(name="ping", description="Latency, queue, model and device")
    async def ping(interaction: discord.Interaction[Any]) -> None:
        stats = parts.engine.stats()
        doing = _STATES[stats.state] + (f" ({stats.stage})" if stats.stage else "")
        lines = [
            f"Gateway: {latency_text(bot)}",
            f"Queue: {stats.waiting} waiting, {stats.running} being generated",
            f"Model: {stats.model} on {stats.device}: {doing}",
        ]
        await interaction.response.send_message("\n".join(lines), ephemeral=True)


def latency_text(client: discord.Client) -> str:
    """Return the gateway's latency as "42 ms"; "unknown" before the first heartbeat."""
    return f"{client.latency * 1000:.0f} ms" if math.isfinite(client.latency) else "unknown"
