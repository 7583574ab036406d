"""Listens to channels, threads and servers that go: their pictures are deleted."""

from __future__ import annotations

import discord
from discord.ext import commands

from bot.commands.parts import BotParts


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the listeners. A server that is unavailable, in an outage of Discord's, is not gone."""
    places = parts.removed_places

    async def on_guild_channel_delete(channel: discord.abc.GuildChannel) -> None:
        if not isinstance(channel, discord.CategoryChannel):  # its channels stay
            await places.channel_removed(channel.id)

    async def on_raw_thread_delete(event: discord.RawThreadDeleteEvent) -> None:
        """Raw, since discord.py forgets threads that are archived."""
        await places.channel_removed(event.thread_id)

    async def on_guild_remove(guild: discord.Guild) -> None:
        await places.guild_removed(guild.id)

    async def on_guild_join(guild: discord.Guild) -> None:
        await places.guild_present(guild.id)

    async def on_guild_available(guild: discord.Guild) -> None:
        await places.guild_present(guild.id)

    async def on_ready() -> None:
        await places.compare({guild.id for guild in bot.guilds})

    for listener in (
        on_guild_channel_delete,
        on_raw_thread_delete,
        on_guild_remove,
        on_guild_join,
        on_guild_available,
        on_ready,
    ):
        bot.add_listener(listener)
