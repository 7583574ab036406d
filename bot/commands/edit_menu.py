"""*Apps → Edit image*, the message context menu, and the filled-in forms that edit a picture."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.forms import listen_to_forms
from bot.commands.input_images import InputImage, pick, picture_attachments
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.views.links import message_link
from bot.views.modals import EditForm, EditModal, read_form
from bot.views.results import picture_label

_REMEMBERED_MESSAGES = 500
_OPTIONS_MAX = 25
"""Discord's limit for the options of a select."""


class EditMenu:
    """Opens the edit form for a message's picture, and carries out any edit form.

    Remembers the last 500 right-clicked messages, each for the member who clicked: the interaction of a form does not
    contain the message's attachments, and who sends a form with the id of another member's message may not see that.
    """

    def __init__(self, parts: BotParts) -> None:
        self._submission = parts.submission
        self._input_images = parts.input_images
        self._result_actions = parts.result_actions
        self._pickers = parts.pickers
        self._database = parts.database
        self._clicked: OrderedDict[tuple[int, int], discord.Message] = OrderedDict()

    def command(self) -> app_commands.ContextMenu:
        """Return the context menu."""
        return app_commands.ContextMenu(name="Edit image", callback=self._open_form)

    async def on_form(self, interaction: discord.Interaction[Any], form: EditForm) -> None:
        """Carry out a filled-in form, whichever command, button or menu opened it, also before a restart."""
        input_image = None
        if form.message is not None:
            input_image = await self._right_clicked(interaction, form)
        await self._result_actions.on_form(interaction, form, input_image)
        await self._pickers.close(interaction)

    async def _open_form(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        invocation = InteractionInvocation(interaction)
        rows = await images.of_message(self._database, message.id)
        pictures = picture_attachments(message)
        if not pictures:
            raise Refusal("There is no picture in that message.")
        # A member who may not edit the picture is told before typing anything.
        first = await self._input_images.message(invocation, message, 1)
        self._clicked[interaction.user.id, message.id] = message
        while len(self._clicked) > _REMEMBERED_MESSAGES:
            self._clicked.popitem(last=False)
        names = [
            picture_label(number, row.seed, ImageSpec.from_json(row.spec).prompt) for number, row in enumerate(rows, 1)
        ] or [f"{number} · {picture.filename}" for number, picture in enumerate(pictures, 1)]
        models = await self._submission.chosen.models_for(invocation, first.model, edit=True)
        modal = EditModal(f"m{message.channel.id}-{message.id}", first.prompt, models.usual, names[:_OPTIONS_MAX])
        await interaction.response.send_modal(modal)

    async def _right_clicked(self, interaction: discord.Interaction[Any], form: EditForm) -> InputImage:
        """Return the message's picture: from the remembered message, else from the message fetched again.

        Raises :class:`Refusal` if the member may not read the channel, perhaps not any more.
        """
        assert form.message is not None
        channel_id, message_id = form.message
        invocation = InteractionInvocation(interaction)
        message = self._clicked.get((interaction.user.id, message_id))
        if message is None or message.channel.id != channel_id:
            return await self._input_images.from_source_option(
                invocation, message_link(interaction.guild_id, channel_id, message_id), form.which or 1
            )
        rows = await images.of_message(self._database, message_id)
        count = len(rows) or len(picture_attachments(message))
        return await self._input_images.message(invocation, message, pick(count, form.which or 1) + 1)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the menu, and the listener for filled-in edit forms."""
    menu = EditMenu(parts)
    bot.tree.add_command(menu.command())
    listen_to_forms(bot, read_form, menu.on_form)
