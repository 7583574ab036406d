"""``/ping``: latency, queue, model and device."""

from __future__ import annotations

import math
from typing import Any

import discord
from discord.ext import commands

from bot.commands.device_lines import device_lines
from bot.commands.parts import BotParts
from bot.version import program_version

_STATES = {
    "loading": "the model is loading; you can already ask for pictures",
    "ready": "ready",
    "recovering": "the device stopped and is being restarted; what was asked for goes on by itself",
    "failed": "the model could not be loaded; the operator's log says why",
    "closed": "shutting down",
}


_SHARDS_SHOWN = 10


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/ping``."""

    @bot.tree.command(name="ping", description="Latency, queue, model and device")
    async def ping(interaction: discord.Interaction[Any]) -> None:
        stats = parts.engine.stats()
        doing = _STATES[stats.state] + (f" ({stats.stage})" if stats.stage else "")
        lines = [
            f"Gateway: {latency_text(bot)}",
            f"Queue: {stats.waiting} waiting, {stats.running} being generated",
            f"{'Models' if len(parts.engine.profiles) > 1 else 'Model'}: {stats.model} on {stats.device}: {doing}",
            *device_lines(stats.devices, parts.engine.profiles),
            f"Version: {program_version()}",
        ]
        await interaction.response.send_message("\n".join(lines), ephemeral=True)


def latency_text(client: discord.AutoShardedClient) -> str:
    """Return the gateway's latency as "42 ms"; "unknown" before the first heartbeat.

    With several shards it is their mean, followed by each shard's own: "42 ms (shard 0: 40 ms, shard 1: disconnected)".
    Those that are not connected come first, since not all have room.
    """
    shards = sorted(client.shards.values(), key=lambda shard: (not shard.is_closed(), shard.id))
    latencies = [shard.latency for shard in shards if not shard.is_closed()]
    if len(shards) <= 1:
        return _milliseconds(client.latency)
    each = [
        f"shard {shard.id}: {'disconnected' if shard.is_closed() else _milliseconds(shard.latency)}"
        for shard in shards[:_SHARDS_SHOWN]
    ]
    if len(shards) > _SHARDS_SHOWN:
        each.append(f"{len(shards) - _SHARDS_SHOWN} more")
    return f"{_milliseconds(sum(latencies) / len(latencies) if latencies else math.nan)} ({', '.join(each)})"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if math.isfinite(seconds) else "unknown"
