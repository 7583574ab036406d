"""``/admin channels``: where in this server the bot may be used."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import AdminContext, answer, guild_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.plurals import counted
from bot.store.audit import Change
from bot.store.moderation import Rule, channel_rules, write_channel_rule
from bot.views.moderation import ChannelPages, gone_channels

Place = app_commands.AppCommandChannel | app_commands.AppCommandThread
_CONSEQUENCES: dict[Rule, str] = {
    "allow": "I may be used in {place}, and only where you allow it.",
    "deny": "I may not be used in {place}.",
}


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin
    channels = app_commands.Group(name="channels", description="Where I may be used", parent=admin)

    @channels.command(name="allow", description="Allow me here; from then on I work only where I am allowed")
    @app_commands.describe(channel="A category, a channel, a forum or a thread")
    async def allow(interaction: discord.Interaction[Any], channel: Place) -> None:
        await _set(interaction, context, channel, "allow")

    @channels.command(name="deny", description="Stop me from being used here")
    @app_commands.describe(channel="A category, a channel, a forum or a thread")
    async def deny(interaction: discord.Interaction[Any], channel: Place) -> None:
        await _set(interaction, context, channel, "deny")

    @channels.command(name="clear", description="Remove a rule: that of the channel or category above applies again")
    @app_commands.describe(
        channel="A category, a channel, a forum or a thread",
        deleted="True: clear the rules of all channels that were deleted",
    )
    async def clear(
        interaction: discord.Interaction[Any], channel: Place | None = None, *, deleted: bool = False
    ) -> None:
        if (channel is not None) == deleted:
            raise Refusal("Give a channel, or `deleted:True` for all channels that were deleted.")
        if channel is not None:
            await _clear(interaction, context, channel)
        else:
            await _clear_deleted(interaction, context)

    @channels.command(name="list", description="The rules for channels, and what follows from them")
    async def listed(interaction: discord.Interaction[Any]) -> None:
        await ChannelPages.show(interaction)


async def _set(interaction: discord.Interaction[Any], context: AdminContext, channel: Place, rule: Rule) -> None:
    guild_id = guild_of(interaction)
    row = await context.change(interaction, partial(write_rule, guild_id=guild_id, channel_id=channel.id, rule=rule))
    place = f"<#{channel.id}>"
    if row is None:
        raise Refusal(f"The rule for {place} is {rule} already; /admin channels list shows all of them.")
    below = ""
    if channel.type is discord.ChannelType.category:
        below = " That holds for its channels, too, unless they have a rule of their own."
    await answer(interaction, _CONSEQUENCES[rule].format(place=place) + below)


async def _clear(interaction: discord.Interaction[Any], context: AdminContext, channel: Place) -> None:
    guild_id = guild_of(interaction)
    row = await context.change(interaction, partial(write_rule, guild_id=guild_id, channel_id=channel.id, rule=None))
    if row is None:
        raise Refusal(f"There is no rule for <#{channel.id}>; /admin channels list shows all rules.")
    await answer(interaction, f"The rule for <#{channel.id}> is cleared.")


async def _clear_deleted(interaction: discord.Interaction[Any], context: AdminContext) -> None:
    guild_id, guild = guild_of(interaction), interaction.guild
    await interaction.response.defer(ephemeral=True)  # one request to Discord for each channel that is not cached
    rules = await context.database.read(partial(channel_rules, guild_id=guild_id))
    gone = await gone_channels(guild, list(rules)) if guild is not None else set()
    for channel_id in sorted(gone):
        await context.change(interaction, partial(write_rule, guild_id=guild_id, channel_id=channel_id, rule=None))
    text = (
        f"The rules of {counted(len(gone), 'deleted channel')} are cleared."
        if gone
        else "There are no rules for deleted channels."
    )
    await interaction.followup.send(text, ephemeral=True)


def write_rule(connection: sqlite3.Connection, *, guild_id: int, channel_id: int, rule: Rule | None) -> Change | None:
    """Set the rule of a channel, or take it away (None). Returns None if it was so already."""
    before = write_channel_rule(connection, guild_id, channel_id, rule)
    if before == rule:
        return None
    action = f"channels {rule or 'clear'}"
    return Change(action, f"<#{channel_id}>", before or "no rule", rule or "no rule")
