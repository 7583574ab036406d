"""``/details``: the parameters that an uploaded PNG was made with."""

# No `from __future__ import annotations` here: discord.py reads the options from the annotations.

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.gallery import Gallery
from bot.commands.parts import BotParts


def details_command(gallery: Gallery) -> app_commands.Command[Any, ..., None]:
    """Return the ``/details`` command."""

    @app_commands.command(name="details", description="What a picture was made from, read from the file itself")
    @app_commands.describe(image="A PNG that I or another tool made")
    async def details(interaction: discord.Interaction[Any], image: discord.Attachment) -> None:
        await gallery.details_of_file(interaction, image)

    return details


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/details``."""
    bot.tree.add_command(details_command(parts.gallery))
