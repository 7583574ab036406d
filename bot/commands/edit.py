"""``/edit``: a new picture from a picture and a text."""

# No `from __future__ import annotations` here: discord.py reads the annotations.

from dataclasses import replace
from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.edit_requests import EditRequests
from bot.commands.option_parameters import model_choices, with_options
from bot.commands.parts import BotParts
from bot.commands.source_option import source_autocomplete
from bot.commands.submission import Submission
from bot.errors import Refusal
from bot.requests.drafts import Draft, drafted
from bot.requests.spec import ImageOptions
from bot.store.database import Database
from bot.views.picture_references import NEWEST, attachment_reference, source_reference

_ORDER = ("model", "strength", "fit", "seed", "steps", "count", "private")


def edit_command(
    submission: Submission, edit_requests: EditRequests, database: Database
) -> app_commands.Command[Any, ..., None]:
    """Return the ``/edit`` command for the bot's models."""

    async def edit(
        interaction: discord.Interaction[Any],
        prompt: str = "",
        image: discord.Attachment | None = None,
        source: str | None = None,
        mask: discord.Attachment | None = None,
        **given: Any,
    ) -> None:
        private = given.pop("private", None)
        options = ImageOptions(prompt, **given)
        picture = source_reference(source) if source else NEWEST
        drawn_mask = attachment_reference(mask) if mask is not None else ""
        if image is not None:
            picture = attachment_reference(image)
        draft = Draft.of(options, private=private, picture=picture, mask=drawn_mask)
        with drafted(draft):
            if image is not None and source:
                raise Refusal("Give either image or source, not both.")
        await edit_requests.submit(interaction, draft, replace(options, private=private))

    models, max_count = submission.models, submission.max_count
    callback = with_options(edit, "edit", models, max_count, _ORDER, {"fit": Literal["crop", "pad"] | None})
    callback = app_commands.describe(
        prompt="What the picture shows afterwards. Flags work too: --strength 0.5 --seed 7",
        image="The picture to change",
        source="Or one of your own pictures, or a message's link. Neither: a recent picture here",
        mask="A mask of the same shape: the picture is changed only where the mask is white",
        **models.options_in("edit", max_count),
    )(callback)
    if models.several:
        callback = app_commands.choices(**model_choices(models))(callback)
    command: app_commands.Command[Any, ..., None] = app_commands.command(
        name="edit", description="Change a picture: a new one from this one and a text"
    )(callback)
    command.autocomplete("source")(source_autocomplete(database))
    return command


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/edit``."""
    bot.tree.add_command(edit_command(parts.submission, parts.edit_requests, parts.database))
