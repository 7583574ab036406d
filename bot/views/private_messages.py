"""Changing the message that a pressed button is on: only one that the member alone sees, so that nobody's result goes.

The id in a ``custom_id`` can be forged, and so can the message that it is said to be on.
"""

from __future__ import annotations

from typing import Any

import discord

from bot.errors import Refusal


def check_private(interaction: discord.Interaction[Any]) -> None:
    """Raise :class:`Refusal` unless a button, a select or its form is on a private (ephemeral) message."""
    message = interaction.message
    if message is None or not message.flags.ephemeral:
        raise Refusal("That button does not belong to this message: please use the command again.")


async def edit_private(interaction: discord.Interaction[Any], **changes: Any) -> None:
    """Answer by changing the message of the button. Raises :class:`Refusal` as :func:`check_private` does."""
    check_private(interaction)
    await interaction.response.edit_message(**changes)


def custom_ids(message: discord.Message) -> list[str]:
    """Return the ``custom_id`` of each button and select of a message."""
    rows = [component for component in message.components if isinstance(component, discord.ActionRow)]
    return [str(getattr(child, "custom_id", None)) for row in rows for child in row.children]
