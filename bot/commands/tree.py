"""``/tree``: a picture with the pictures that it came from and those that came from it."""

# No `from __future__ import annotations` here: discord.py reads the options from the annotations.

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.gallery import Gallery
from bot.commands.input_images import InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.source_option import find_row, source_autocomplete
from bot.store.database import Database


def tree_command(
    gallery: Gallery, input_images: InputImages, database: Database
) -> app_commands.Command[Any, ..., None]:
    """Return the ``/tree`` command."""

    @app_commands.command(name="tree", description="The family of a picture: what it came from, what came from it")
    @app_commands.describe(source="One of your own pictures, or a message's link. Neither: your newest here")
    async def tree(interaction: discord.Interaction[Any], source: str | None = None) -> None:
        row = await find_row(input_images, database, InteractionInvocation(interaction), source)
        await gallery.tree(interaction, row)

    tree.autocomplete("source")(source_autocomplete(database))
    return tree


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/tree``."""
    bot.tree.add_command(tree_command(parts.gallery, parts.input_images, parts.database))
