"""What somebody who writes to the bot without a command is answered, and the button that generates what they wrote."""

from __future__ import annotations

from typing import Any

import discord

from bot.views.base import SafeDynamicItem, SafeView
from bot.views.ids import SNOWFLAKE
from bot.views.parts import parts_of


class GenerateButton(SafeDynamicItem[discord.ui.Button[Any]], template=rf"zib:generate:m(?P<message>{SNOWFLAKE})\Z"):
    """Submits the text of a message as ``/imagine``, for the message's author.

    The text is read from Discord again when the button is pressed, so that it is stored nowhere.
    """

    def __init__(self, message_id: int | str) -> None:
        self.message_id = int(message_id)
        button: discord.ui.Button[Any] = discord.ui.Button(
            label="Generate", style=discord.ButtonStyle.primary, custom_id=f"zib:generate:m{message_id}"
        )
        super().__init__(button)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).first_contact.on_generate(interaction, self.message_id)


def generate_view(message_id: int) -> discord.ui.View:
    """Return the view with the button."""
    view = SafeView(timeout=None)
    view.add_item(GenerateButton(message_id))
    return view
