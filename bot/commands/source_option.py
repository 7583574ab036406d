"""The ``source`` option of ``/edit`` and ``/tree``: which picture is meant, and the autocomplete that offers some."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import discord
from discord import app_commands

from bot.commands.input_images import InputImage, InputImages
from bot.commands.invocation import Invocation
from bot.errors import Refusal
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.views.text import cut

Autocomplete = Callable[[discord.Interaction[Any], str], Coroutine[Any, Any, list[app_commands.Choice[str]]]]


async def find_input_image(
    input_images: InputImages, invocation: Invocation, image: discord.Attachment | None, source: str | None
) -> InputImage:
    """Return the attachment, else the picture that ``source`` names, else the newest one in the channel.

    Raises :class:`Refusal` if both are given, or the picture is not found or not visible to the member.
    """
    if image is not None and source:
        raise Refusal("Give either image or source, not both.")
    if image is not None:
        return input_images.attachment(invocation, image)
    if source:
        return await input_images.from_source_option(invocation, source, None)
    return await input_images.newest(invocation)


def source_autocomplete(database: Database) -> Autocomplete:
    """Return a callback that offers the member's last images, newest first, filtered by the text typed so far."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        rows = await images.recent_of(database, interaction.user.id, interaction.guild_id)
        named = [(f"{ImageSpec.from_json(row.spec).prompt} (seed {row.seed})", row.id) for row in rows]
        wanted = typed.lower()
        return [
            app_commands.Choice(name=cut(name, 100), value=value) for name, value in named if wanted in name.lower()
        ]

    return offer
