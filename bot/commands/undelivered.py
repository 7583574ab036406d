"""Results that could not be posted: offered to their owner, and tried again when a permission comes back."""

from __future__ import annotations

from typing import Any

import discord
import structlog
from discord import app_commands
from discord.ext import commands

from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.jobs.undelivered import UndeliveredResults
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.card_messages import NOT_SENT
from bot.views.discord_requests import reason_of
from bot.views.undelivered import ShowButton, undelivered_text, undelivered_view

log = structlog.get_logger(__name__)

_OFFER_SECONDS = 10 * 60.0
_TELL_THEMSELVES = ("quota", "queue")


class UndeliveredActions:
    """Offers members their undelivered results."""

    def __init__(self, results: UndeliveredResults) -> None:
        self._results = results
        self._offers: Throttle[int] = Throttle(_OFFER_SECONDS)
        self._shows: Throttle[tuple[int, int]] = Throttle(DOUBLE_CLICK_SECONDS)

    async def on_show(self, interaction: discord.Interaction[Any], job_id: int) -> None:
        """Show a result to its owner, in the channel if that is possible now, else to them alone.

        Further presses within three seconds are answered without a message.
        """
        if not self._shows.take((interaction.user.id, job_id)):
            await interaction.response.defer()
            return
        row = await self._results.check_owner(job_id, interaction.user.id)
        invocation = InteractionInvocation(interaction)
        card_message = await invocation.open_card("Fetching your picture …", None, private=True)
        assert invocation.reply is not None, "a button is an interaction"
        assert card_message.message_id is not None, "it was just sent"
        try:
            await self._results.show(row, invocation.reply, card_message.message_id, invocation.response_file_limit)
        except Refusal as refusal:
            await card_message.edit(content=str(refusal))

    async def on_app_command_completion(
        self,
        interaction: discord.Interaction[Any],
        command: app_commands.Command[Any, ..., Any] | app_commands.ContextMenu,
    ) -> None:
        """After a member's command, tell them of results that could not be posted, and try to post those again."""
        member_id = interaction.user.id
        if command.name in _TELL_THEMSELVES or self._offers.remaining(member_id):
            return
        if not await self._results.of(member_id):
            return
        self._offers.start(member_id)
        await self._results.retry_of(member_id)
        left = await self._results.of(member_id)
        if not left:
            return
        try:
            await interaction.followup.send(undelivered_text(left), view=undelivered_view(left), ephemeral=True)
        except NOT_SENT as error:  # such as when the command came too late to be answered
            log.info("undelivered_not_offered", user=member_id, reason=reason_of(error))

    async def on_guild_channel_update(self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel) -> None:
        if before.overwrites != after.overwrites:
            await self._retry_in(after.guild)

    async def on_guild_role_update(self, before: discord.Role, after: discord.Role) -> None:
        if before.permissions != after.permissions:  # there are bots that change a role's colour every few seconds
            await self._retry_in(after.guild)

    async def on_member_update(self, before: discord.Member, after: discord.Member) -> None:
        rights = before.roles != after.roles or before.timed_out_until != after.timed_out_until
        if before.id == after.guild.me.id and rights:
            await self._retry_in(after.guild)

    async def on_thread_update(self, before: discord.Thread, after: discord.Thread) -> None:
        if (before.archived, before.locked) != (after.archived, after.locked):
            await self._retry_in(after.guild)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self._retry_in(guild)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        await self._retry_in(guild)

    async def _retry_in(self, guild: discord.Guild) -> None:
        await self._results.retry_in(guild.id)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the button, and listen to what may let a result be posted."""
    actions = parts.undelivered
    bot.add_dynamic_items(ShowButton)
    for listener in (
        actions.on_app_command_completion,
        actions.on_guild_channel_update,
        actions.on_guild_role_update,
        actions.on_member_update,
        actions.on_thread_update,
        actions.on_guild_join,
        actions.on_guild_available,
    ):
        bot.add_listener(listener)
