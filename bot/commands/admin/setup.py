"""``/admin setup``: one message that shows and sets what an admin decides first."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.channels import write_rule
from bot.commands.admin.context import AdminContext, guild_of
from bot.commands.admin.limits import clear_limit_row, set_limit_row
from bot.commands.admin.settings import check_log_channel, write_guild_setting
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.moderation.limit_ranges import limit_range
from bot.moderation.limit_texts import format_value
from bot.store import limits
from bot.store.guild_settings import LOG_CHANNEL, PRIVATE_PICTURES, SPOILER, find_setting
from bot.store.limits import LimitRow
from bot.store.moderation import channel_rules
from bot.views.command_mentions import CommandMentions
from bot.views.private_messages import edit_private
from bot.views.setup import ChannelChoice, CreditsModal, SetupState, Switch, setup_text, setup_view


class SetupActions:
    """Shows the message and handles its controls. Each press checks that the member is an admin of its server."""

    def __init__(self, context: AdminContext, mentions: CommandMentions) -> None:
        self._context = context
        self._mentions = mentions

    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """Answer the admin privately with the message; after a press, show in it what holds now."""
        state = await self._state(interaction)
        text, view = setup_text(state, self._mentions.of), setup_view(state)
        if interaction.type is discord.InteractionType.application_command:
            await interaction.response.send_message(text, view=view, ephemeral=True, suppress_embeds=True)
        else:
            await edit_private(interaction, content=text, view=view, suppress_embeds=True)

    async def on_switch(self, interaction: discord.Interaction[Any], what: Switch, value: str) -> None:
        """Set a setting that is on or off."""
        await self._context.check_admin(interaction)
        await self._set(interaction, what, value)
        await self.show(interaction)

    async def on_channels(
        self, interaction: discord.Interaction[Any], what: ChannelChoice, chosen: tuple[int, ...]
    ) -> None:
        """Set the log channel, or let the bot be used in the chosen channels alone; none means in all."""
        await self._context.check_admin(interaction)
        guild = interaction.guild
        if guild is None or not all(guild.get_channel(channel_id) is not None for channel_id in chosen):
            raise Refusal("I cannot see that channel: give me View Channel there first.")
        if what == "channels":
            await self._allow_only(interaction, set(chosen))
        elif chosen:
            channel = guild.get_channel(chosen[0])
            if not isinstance(channel, discord.TextChannel):
                raise Refusal("The log channel has to be a text channel.")
            check_log_channel(channel)
            await self._set(interaction, LOG_CHANNEL, str(channel.id))
        else:
            await self._set(interaction, LOG_CHANNEL, None)
        await self.show(interaction)

    async def on_credits(self, interaction: discord.Interaction[Any]) -> None:
        """Ask for the credits a day."""
        await self._context.check_admin(interaction)
        state = await self._state(interaction)
        now = format_value("credits_per_day", state.credits) if state.credits_set else ""
        await interaction.response.send_modal(CreditsModal(now, self._set_credits))

    async def _set_credits(self, interaction: discord.Interaction[Any], typed: str) -> None:
        await self._context.check_admin(interaction)
        guild_id = guild_of(interaction)
        if typed:
            value = limit_range("credits_per_day", self._context.jobs.admission.terms).parse(typed)
            row = LimitRow("everyone", 0, "credits_per_day", value)
            await self._context.change(interaction, partial(set_limit_row, guild_id=guild_id, row=row))
        else:
            clear = partial(clear_limit_row, guild_id=guild_id, target="everyone", target_id=0, name="credits_per_day")
            await self._context.change(interaction, clear)
        await self.show(interaction)

    async def _set(self, interaction: discord.Interaction[Any], name: str, value: str | None) -> None:
        change = partial(write_guild_setting, guild_id=guild_of(interaction), name=name, value=value)
        await self._context.change(interaction, change)

    async def _allow_only(self, interaction: discord.Interaction[Any], chosen: set[int]) -> None:
        """Allow the chosen channels and take the rule from others that the select shows; other rules stay."""
        guild_id = guild_of(interaction)
        before = set((await self._state(interaction)).allowed)
        for channel_id in sorted(chosen - before):
            await self._context.change(
                interaction, partial(write_rule, guild_id=guild_id, channel_id=channel_id, rule="allow")
            )
        for channel_id in sorted(before - chosen):
            await self._context.change(
                interaction, partial(write_rule, guild_id=guild_id, channel_id=channel_id, rule=None)
            )

    async def _state(self, interaction: discord.Interaction[Any]) -> SetupState:
        guild_id, guild = guild_of(interaction), interaction.guild
        default = self._context.jobs.admission.terms.defaults["credits_per_day"]
        state, rules = await self._context.database.read(partial(_read, guild_id=guild_id, default=default))
        # Threads, and channels that were deleted or that the bot does not see, cannot be shown in a select.
        allowed = tuple(
            sorted(
                channel_id
                for channel_id, rule in rules.items()
                if rule == "allow" and guild is not None and guild.get_channel(channel_id) is not None
            )
        )
        return SetupState(**state, allowed=allowed, rules_elsewhere=len(rules) > len(allowed))


def _read(connection: sqlite3.Connection, guild_id: int, default: int | None) -> tuple[dict[str, Any], dict[int, Any]]:
    row = limits.find_limit(connection, guild_id, "everyone", 0, "credits_per_day", int(time.time()))
    log_channel = find_setting(connection, guild_id, LOG_CHANNEL)
    state = {
        "credits": row.value if row is not None else default,
        "credits_set": row is not None,
        "log_channel": int(log_channel) if log_channel is not None else None,
        "spoiler": find_setting(connection, guild_id, SPOILER) == "on",
        "private_pictures": find_setting(connection, guild_id, PRIVATE_PICTURES) != "off",
    }
    return state, channel_rules(connection, guild_id)


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    @admin.command(name="setup", description="What to decide first: credits, channels, log, spoilers, private pictures")
    async def setup(interaction: discord.Interaction[Any]) -> None:
        await parts.setup.show(interaction)
