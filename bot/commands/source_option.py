"""The ``source`` option of ``/edit`` and ``/tree``: which picture is meant, and the autocomplete that offers some."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import discord
from discord import app_commands

from bot.commands.candidates import find_candidates
from bot.commands.input_images import InputImages, is_image_id
from bot.commands.invocation import Invocation
from bot.errors import Refusal
from bot.requests.spec import ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.images import ImageRow
from bot.views.links import parse_message_link
from bot.views.results import picture_label

Autocomplete = Callable[[discord.Interaction[Any], str], Coroutine[Any, Any, list[app_commands.Choice[str]]]]


async def find_row(
    input_images: InputImages, database: Database, invocation: Invocation, source: str | None
) -> ImageRow:
    """Return the bot's image that ``source`` names, else the member's newest one in the channel, else anybody's.

    Raises :class:`Refusal` if there is none, or the member may not see it.
    """
    if not source:
        rows = await find_candidates(database, invocation, for_edit=False)
        if not rows:
            raise Refusal("I have no pictures in this channel yet. Give the link of a message with one as `source`.")
        return next((row for row in rows if row.owner_id == invocation.user.id), rows[0])
    if is_image_id(source):
        return await input_images.access.visible_row(invocation, source.strip())
    link = parse_message_link(source)
    if link is None:
        raise Refusal("Give the link of a message with one of my pictures, or pick one of your own from the list.")
    rows = await images.of_message(database, link.message_id)
    if not rows:
        raise Refusal("There is no picture of mine in that message, so there is no family tree to show.")
    row = await input_images.access.visible_row(invocation, rows[0].id)
    if len(rows) > 1:
        raise Refusal(f"That message has {len(rows)} pictures: press **More…** under it, choose one, then **Tree**.")
    return row


def source_autocomplete(database: Database) -> Autocomplete:
    """Return a callback that offers the member's last images, newest first, filtered by the text typed so far."""

    async def offer(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        rows = await images.recent_of(database, interaction.user.id, interaction.guild_id)
        named = [
            (picture_label(row.position + 1, row.seed, ImageSpec.from_json(row.spec).prompt), row.id) for row in rows
        ]
        wanted = typed.lower()
        return [app_commands.Choice(name=name, value=value) for name, value in named if wanted in name.lower()]

    return offer
