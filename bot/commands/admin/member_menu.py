"""*Apps → Limits* on a member: their use and limits, to change, reset or block. For admins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.admin.blocks import block_member, unblock_member
from bot.commands.admin.context import AdminContext, bots_ask_for_nothing, guild_of, server_menu
from bot.commands.admin.limits import clear_limit_row, reset_credits, set_limit_row
from bot.commands.invocation import requester_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.moderation.durations import parse_period
from bot.moderation.limit_ranges import limit_range
from bot.store.admission import QuotaState
from bot.store.limits import LimitName, LimitRow
from bot.store.moderation import find_block
from bot.views.member_limits import BlockModal, LimitsModal, MemberAction, MemberButton, member_text, member_view
from bot.views.private_messages import edit_private

Person = discord.Member | discord.User


class MemberMenu:
    """Shows a member to an admin and handles the buttons under that; each press checks who presses.

    The buttons are about the server where they are pressed, whatever member their ``custom_id`` names.
    """

    def __init__(self, context: AdminContext) -> None:
        self._context = context

    def command(self) -> app_commands.ContextMenu:
        """Return the context menu."""
        return server_menu("Limits", self._open, discord.Permissions(manage_guild=True))

    async def on_press(self, interaction: discord.Interaction[Any], what: MemberAction, member_id: int) -> None:
        """Handle a button. Raises :class:`Refusal` if somebody else than an admin presses it."""
        await self._context.check_admin(interaction)
        member = await _member(interaction, member_id)
        match what:
            case "limits":
                modal = LimitsModal(await self._quota_state(interaction, member), partial(self._change, member))
                await interaction.response.send_modal(modal)
            case "block":
                await interaction.response.send_modal(BlockModal(partial(self._block, member)))
            case "unblock":
                await self._show(interaction, member, await unblock_member(self._context, interaction, member_id))
            case "reset":
                change = partial(reset_credits, guild_id=guild_of(interaction), member=member_id)
                row = await self._context.change(interaction, change)
                said = f"{row.change.before} given back." if row else "No credits were used in the last 24 hours."
                await self._show(interaction, member, said)

    async def _open(self, interaction: discord.Interaction[Any], member: Person) -> None:
        # Discord checks the permissions that the server's integrations say.
        guild_of(interaction)
        if member.bot:
            raise bots_ask_for_nothing("they need no limits")
        await self._show(interaction, member)

    async def _show(
        self, interaction: discord.Interaction[Any], member: Person | discord.Object, said: str = ""
    ) -> None:
        guild_id, now = guild_of(interaction), int(time.time())
        block = await self._context.database.read(partial(find_block, guild_id=guild_id, member_id=member.id, now=now))
        quota_state = await self._quota_state(interaction, member)
        text = member_text(member.id, quota_state, self._context.jobs.admission.terms, block, said)
        view = member_view(member.id, blocked=block is not None)
        if interaction.type is discord.InteractionType.application_command:
            await interaction.response.send_message(text, view=view, ephemeral=True, suppress_embeds=True)
        else:
            await edit_private(interaction, content=text, view=view, suppress_embeds=True)

    async def _quota_state(self, interaction: discord.Interaction[Any], member: Person | discord.Object) -> QuotaState:
        guild_id = guild_of(interaction)
        requester = requester_of(member, interaction.channel, guild_id, guild_id)
        return await self._context.jobs.admission.quota_state(requester)

    async def _change(
        self, member: Person | discord.Object, interaction: discord.Interaction[Any], typed: Mapping[LimitName, str]
    ) -> None:
        """Set the limits that were changed in the form: all of them, or none if one is no value."""
        await self._context.check_admin(interaction)
        guild_id, terms = guild_of(interaction), self._context.jobs.admission.terms
        values = {name: limit_range(name, terms).parse(text) for name, text in typed.items() if text}
        for name in typed:
            if name in values:
                row = LimitRow("user", member.id, name, values[name])
                await self._context.change(interaction, partial(set_limit_row, guild_id=guild_id, row=row))
            else:
                clear = partial(clear_limit_row, guild_id=guild_id, target="user", target_id=member.id, name=name)
                await self._context.change(interaction, clear)
        await self._show(interaction, member)

    async def _block(
        self, member: Person | discord.Object, interaction: discord.Interaction[Any], period: str, reason: str
    ) -> None:
        await self._context.check_admin(interaction)
        until = int(time.time()) + parse_period(period) if period else None
        said = await block_member(self._context, interaction, member, until, reason or None)
        await self._show(interaction, member, said)


async def _member(interaction: discord.Interaction[Any], member_id: int) -> discord.Member | discord.Object:
    """Return the member of the interaction's server; only their id if they have left it."""
    guild = interaction.guild
    if guild is None:
        raise Refusal("This works in servers only, and in those that I am a member of.")
    return await member_or_id(guild, member_id)


async def member_or_id(guild: discord.Guild, member_id: int) -> discord.Member | discord.Object:
    """Return a member of a server; only their id if they have left it.

    Raises :class:`Refusal` if Discord does not answer: whether they are an admin is not known then.
    """
    known = guild.get_member(member_id)
    if known is not None:
        return known
    try:
        return await guild.fetch_member(member_id)
    except discord.NotFound:
        return discord.Object(member_id)
    except discord.HTTPException as error:
        raise Refusal("Discord does not tell me who that is at the moment. Please try again in a minute.") from error


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the menu and its buttons."""
    bot.tree.add_command(parts.member_menu.command())
    bot.add_dynamic_items(MemberButton)
