"""The private menus about a picture: each step edits the same message, so that no pile of messages is left behind."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import discord
import structlog

from bot.views.card_messages import NOT_SENT
from bot.views.discord_requests import reason_of
from bot.views.results import is_menu

log = structlog.get_logger(__name__)

_MAX = 500


class PrivateMenus:
    """Shows the steps of menus.

    Remembers the last interaction of each of the last 500: only that one can remove the menu, for 15 minutes.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[int, discord.Webhook] = OrderedDict()

    async def show(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        view: discord.ui.View | None = None,
        file: discord.File | None = None,
    ) -> None:
        """Answer with a step: in the menu whose button or select was used, else as a new private message."""
        if _in_menu(interaction):
            files = [] if file is None else [file]
            shown = await interaction.response.edit_message(
                content=text, view=view, attachments=files, suppress_embeds=True
            )
        else:
            shown = await interaction.response.send_message(
                text,
                view=view or discord.utils.MISSING,
                file=file or discord.utils.MISSING,
                ephemeral=True,
                suppress_embeds=True,
            )
        if shown is not None and shown.message_id is not None:
            self._remember(shown.message_id, interaction)

    async def defer(self, interaction: discord.Interaction[Any]) -> None:
        """Begin a step that takes a while; :meth:`show_deferred` ends it."""
        if _in_menu(interaction):
            await interaction.response.defer()
        else:
            await interaction.response.defer(ephemeral=True, thinking=True)

    async def show_deferred(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        file: discord.File | None = None,
        view: discord.ui.View | None = None,
    ) -> None:
        """Show a step after :meth:`defer`."""
        message = await interaction.edit_original_response(
            content=text, attachments=[] if file is None else [file], view=view
        )
        self._remember(message.id, interaction)

    async def close(self, interaction: discord.Interaction[Any]) -> None:
        """Remove the menu that the interaction was made in, if it was: what was chosen is under way."""
        if interaction.message is None or not _in_menu(interaction):
            return
        webhook = self._open.pop(interaction.message.id, None)
        if webhook is None:  # shown before a restart
            return
        try:
            await webhook.delete_message(interaction.message.id)
        except NOT_SENT as error:
            log.info("menu_not_removed", reason=reason_of(error))

    def _remember(self, message_id: int, interaction: discord.Interaction[Any]) -> None:
        self._open[message_id] = interaction.followup
        self._open.move_to_end(message_id)
        while len(self._open) > _MAX:
            self._open.popitem(last=False)


def _in_menu(interaction: discord.Interaction[Any]) -> bool:
    """Return whether a button, a select or a form that was opened from one belongs to a private menu."""
    return interaction.message is not None and is_menu(interaction.message)
