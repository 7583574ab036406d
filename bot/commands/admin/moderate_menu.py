"""*Apps → Moderate* on a picture: who asked for it, delete it, block them for a day. For moderators."""

from __future__ import annotations

import time
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.admin.blocks import block_member
from bot.commands.admin.context import AdminContext, guild_of, server_menu
from bot.commands.admin.member_menu import member_or_id
from bot.commands.gallery import STILL_SHOWN, Gallery
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.picture_access import PictureAccess
from bot.errors import Refusal
from bot.moderation.access import Action, Verdict
from bot.store import images
from bot.store.images import ImageRow
from bot.views.picture_moderation import ModerationAction, ModerationButton, moderation_text, moderation_view
from bot.views.private_messages import check_private

_DAY = 24 * 60 * 60
_REASON = "a picture in this server"
_NOT_HERE = "That message is none of my pictures in this channel."


class ModerateMenu:
    """Shows a moderator who asked for a picture, and handles the buttons under that."""

    def __init__(self, context: AdminContext, gallery: Gallery, access: PictureAccess) -> None:
        self._context = context
        self._access = access
        self._gallery = gallery

    def command(self) -> app_commands.ContextMenu:
        """Return the context menu."""
        return server_menu("Moderate", self._open, discord.Permissions(manage_messages=True))

    async def on_press(self, interaction: discord.Interaction[Any], what: ModerationAction, job_id: int) -> None:
        """Handle a button. Raises :class:`Refusal` if the member is no moderator where the picture was posted."""
        row = await images.any_of_job(self._context.database, job_id)
        if row is None:
            raise Refusal(_NOT_HERE)
        await self._check_moderator(interaction, row)
        check_private(interaction)
        rows = await images.of_job(self._context.database, job_id)
        if what == "block":
            said = await self._block(interaction, row)
        else:
            said, rows = await self._delete(interaction, row, rows), []
        text, view = moderation_text(rows or [row], said), moderation_view(row, deleted=not rows)
        if interaction.response.is_done():
            await interaction.edit_original_response(content=text, view=view)
        else:
            await interaction.response.edit_message(content=text, view=view)

    async def _open(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        rows = await images.of_message(self._context.database, message.id)
        if not rows:
            raise Refusal(_NOT_HERE)
        await self._check_moderator(interaction, rows[0])
        await interaction.response.send_message(
            moderation_text(rows), view=moderation_view(rows[0]), ephemeral=True, suppress_embeds=True
        )

    async def _check_moderator(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Raise :class:`Refusal` unless the member may manage messages, here where the picture was posted.

        The id in a ``custom_id`` can be forged: it gives nobody a right in another channel or server.
        """
        guild_of(interaction)
        verdict = await self._access.verdict(Action.MODERATE, InteractionInvocation(interaction), row)
        if not verdict.allowed:
            raise Refusal(_NOT_HERE if verdict is Verdict.NOT_FOUND else verdict.value)

    async def _delete(self, interaction: discord.Interaction[Any], row: ImageRow, rows: list[ImageRow]) -> str:
        if not rows:
            return "Already deleted."
        await interaction.response.defer()  # two requests to Discord come first
        gone = await self._gallery.remove_result(interaction, row)
        return "Deleted." if gone else STILL_SHOWN

    async def _block(self, interaction: discord.Interaction[Any], row: ImageRow) -> str:
        if not row.owner_id or interaction.guild is None:
            raise Refusal("Whoever asked for it had their data deleted, so I don't know whom to block.")
        owner = await member_or_id(interaction.guild, row.owner_id)
        until = int(time.time()) + _DAY
        return await block_member(self._context, interaction, owner, until, _REASON, shorten=False)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the menu and its buttons."""
    bot.tree.add_command(parts.moderate_menu.command())
    bot.add_dynamic_items(ModerationButton)
