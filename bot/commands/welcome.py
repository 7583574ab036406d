"""What the bot says in a server that it has just joined: three steps for the admins."""

from __future__ import annotations

import discord
import structlog
from discord.ext import commands

from bot.commands.help import EXAMPLE
from bot.commands.parts import BotParts
from bot.store.facts import read_fact, write_fact
from bot.views.card_messages import NOT_SENT
from bot.views.command_mentions import CommandMentions
from bot.views.discord_requests import reason_of

log = structlog.get_logger(__name__)


def welcome_text(mentions: CommandMentions) -> str:
    """Return the three steps."""
    return (
        "Thanks for adding me! I generate pictures from what members write. Three steps for admins:\n"
        f"1. {mentions.of('admin setup')}: credits a day, channels, a log channel, spoilers and private pictures.\n"
        f"2. Try it: `/imagine prompt:{EXAMPLE}`\n"
        f"3. Show members {mentions.of('help')}. If you need to step in: right-click a member → Apps → **Limits**, or "
        "a picture → Apps → **Moderate**."
    )


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Listen to new servers."""

    async def on_guild_join(guild: discord.Guild) -> None:
        """Post the steps in the server's system channel, once for each server; nothing where that is impossible."""
        allowed, channel = parts.settings.allowed_guilds, guild.system_channel
        if channel is None or (allowed and guild.id not in allowed):
            return
        granted = channel.permissions_for(guild.me)
        fact = f"welcomed_{guild.id}"
        if not (granted.view_channel and granted.send_messages) or await read_fact(parts.database, fact) is not None:
            return
        # Before it is sent: rather not at all than twice, should the answer be lost.
        await write_fact(parts.database, fact, "1")
        try:
            await channel.send(welcome_text(parts.mentions), suppress_embeds=True)
        except NOT_SENT as error:
            log.info("welcome_not_sent", guild=guild.id, reason=reason_of(error))

    bot.add_listener(on_guild_join)
