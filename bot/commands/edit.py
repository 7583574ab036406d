"""``/edit``: a new picture from a picture and a text."""

# No `from __future__ import annotations` here: discord.py reads the annotations, and their ranges are local variables.

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.candidates import find_candidates
from bot.commands.input_images import NO_PICTURE, InputImage, InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.pending_edits import PendingEdit, PendingEdits
from bot.commands.picture_picker import PicturePickers
from bot.commands.source_option import source_autocomplete
from bot.commands.submission import Edit, Submission
from bot.errors import Refusal
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.options import options_in
from bot.requests.spec import MIN_STRENGTH, ImageOptions
from bot.store.database import Database
from bot.store.images import ImageRow
from zimage_engine.profiles import SEED_LIMIT


class EditCommand:
    """Finds the picture of an ``/edit``, asks for what is missing, and submits the edit."""

    def __init__(
        self,
        submission: Submission,
        input_images: InputImages,
        pickers: PicturePickers,
        pending_edits: PendingEdits,
        database: Database,
    ) -> None:
        self._submission = submission
        self._input_images = input_images
        self._pickers = pickers
        self._pending_edits = pending_edits
        self._database = database

    async def run(
        self,
        interaction: discord.Interaction[Any],
        pending: PendingEdit,
        image: discord.Attachment | None,
        source: str | None,
    ) -> None:
        """Edit the picture that is given, or ask which one is meant if several may be.

        Raises :class:`Refusal` if there is none, or the member may not edit it.
        """
        invocation = InteractionInvocation(interaction)
        which = read_flags(pending.edit.options, EDIT_FLAGS).which
        if image is not None and source:
            raise Refusal("Give either image or source, not both.")
        if image is not None:
            found: InputImage | Sequence[ImageRow] = self._input_images.attachment(invocation, image)
        elif source:
            found = await self._of_source(invocation, source, which)
        else:
            found = await self._newest(invocation, which)
        if not isinstance(found, InputImage):
            await self._pickers.ask(invocation, pending, found)
        elif pending.has_prompt:
            await self._submission.edit(invocation, pending.edit, found, private=pending.private)
        else:
            await self._pending_edits.ask_for_prompt(interaction, pending.with_image(found))

    async def _of_source(
        self, invocation: InteractionInvocation, source: str, which: int | None
    ) -> InputImage | Sequence[ImageRow]:
        """Return the picture that the option names, or all pictures of the message that it links."""
        rows = await self._input_images.rows_of_link(invocation, source) if which is None else []
        if len(rows) > 1:
            return rows
        return await self._input_images.from_source_option(invocation, source, which)

    async def _newest(self, invocation: InteractionInvocation, which: int | None) -> InputImage | Sequence[ImageRow]:
        """Return the one picture that the member can mean, or all of those. ``which`` is its number in its message."""
        rows = await find_candidates(self._database, invocation)
        if which is not None:
            rows = [row for row in rows if row.position == which - 1]
        if not rows:
            raise Refusal(NO_PICTURE)
        if len(rows) > 1:
            return rows
        return await self._input_images.guessed(invocation, rows[0])


def edit_command(
    run: Callable[..., Awaitable[None]], submission: Submission, input_images: InputImages, database: Database
) -> app_commands.Command[Any, ..., None]:
    """Return the ``/edit`` command for the active profile; ``run`` is :meth:`EditCommand.run`."""
    profile = submission.profile
    count_range = app_commands.Range[int, 1, submission.max_count]
    seed_range = app_commands.Range[int, 0, SEED_LIMIT - 1]
    steps_range = app_commands.Range[int, int(profile.steps.low), int(profile.steps.high)]

    @app_commands.command(name="edit", description="Change a picture: a new one from this one and a text")
    @app_commands.describe(
        prompt="What the picture shows afterwards. Flags work too: --strength 0.5 --seed 7",
        image="The picture to change",
        source="Or one of your own pictures, or a message's link. Neither: a recent picture here",
        mask="A drawing of the same shape: only where it is white is the picture changed",
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
        drawn_mask = input_images.attachment(InteractionInvocation(interaction), mask) if mask is not None else None
        options = ImageOptions(prompt, count=count, seed=seed, steps=steps, strength=strength, fit=fit)
        await run(interaction, PendingEdit(Edit(options, mask=drawn_mask), private), image, source)

    edit.autocomplete("source")(source_autocomplete(database))
    return edit


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Add ``/edit``."""
    submission, input_images, database = parts.submission, parts.input_images, parts.database
    command = EditCommand(submission, input_images, parts.pickers, parts.pending_edits, database)
    bot.tree.add_command(edit_command(command.run, submission, input_images, database))
