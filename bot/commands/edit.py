"""``/edit``: a new picture from a picture and a text."""

# No `from __future__ import annotations` here: discord.py reads the annotations, and their ranges are local variables.

from dataclasses import replace
from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.edit_requests import EditRequests
from bot.commands.parts import BotParts
from bot.commands.source_option import source_autocomplete
from bot.commands.submission import Submission
from bot.errors import Refusal
from bot.requests.drafts import Draft, drafted
from bot.requests.options import options_in
from bot.requests.spec import MIN_STRENGTH, ImageOptions
from bot.store.database import Database
from bot.views.picture_references import NEWEST, attachment_reference, source_reference
from zimage_engine.profiles import SEED_LIMIT


def edit_command(
    submission: Submission, edit_requests: EditRequests, database: Database
) -> app_commands.Command[Any, ..., None]:
    """Return the ``/edit`` command for the active profile."""
    profile = submission.profile
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(profile.steps.low), int(profile.steps.high)]

    @app_commands.command(name="edit", description="Change a picture: a new one from this one and a text")
    @app_commands.describe(
        prompt="What the picture shows afterwards. Flags work too: --strength 0.5 --seed 7",
        image="The picture to change",
        source="Or one of your own pictures, or a message's link. Neither: a recent picture here",
        mask="A mask of the same shape: the picture is changed only where the mask is white",
        **options_in("edit", profile, submission.max_count),
    )
    async def edit(
        interaction: discord.Interaction[Any],
        prompt: str = "",
        image: discord.Attachment | None = None,
        source: str | None = None,
        mask: discord.Attachment | None = None,
        strength: app_commands.Range[float, MIN_STRENGTH, 1.0] | None = None,
        fit: Literal["crop", "pad"] | None = None,
        seed: seed_range | None = None,
        steps: steps_range | None = None,
        count: count_range | None = None,
        private: bool | None = None,  # noqa: FBT001 - an option of the command
    ) -> None:
        options = ImageOptions(prompt, count=count, seed=seed, steps=steps, strength=strength, fit=fit)
        picture = source_reference(source) if source else NEWEST
        drawn_mask = attachment_reference(mask) if mask is not None else ""
        if image is not None:
            picture = attachment_reference(image)
        draft = Draft.of(options, private=private, picture=picture, mask=drawn_mask)
        with drafted(draft):
            if image is not None and source:
                raise Refusal("Give either image or source, not both.")
        await edit_requests.submit(interaction, draft, replace(options, private=private))

    edit.autocomplete("source")(source_autocomplete(database))
    return edit


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/edit``."""
    bot.tree.add_command(edit_command(parts.submission, parts.edit_requests, parts.database))
