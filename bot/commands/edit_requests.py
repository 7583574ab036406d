"""Edits of which something may be missing: asks which picture is meant, then for the prompt, and submits the edit.

What is known meanwhile is a draft, so that nothing that was typed is lost and a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import discord
from discord.ext import commands

from bot.commands.draft_pictures import DraftPictures
from bot.commands.input_images import InputImage, InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.picture_picker import PicturePickers
from bot.commands.submission import Edit, Submission
from bot.errors import Refusal
from bot.requests.drafts import Draft, drafted, find_draft, keep_draft
from bot.requests.spec import ImageOptions
from bot.store.database import Database
from bot.store.images import ImageRow
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.modals import EditModal
from bot.views.picture_picker import PickButton, over_text
from bot.views.picture_references import NEWEST, image_reference, source_of
from bot.views.private_messages import check_private, edit_private
from bot.views.request_form import RequestModal


class EditRequests:
    """Implements :class:`bot.views.parts.PickHandler`, and submits drafts of edits."""

    def __init__(
        self,
        submission: Submission,
        input_images: InputImages,
        pictures: DraftPictures,
        pickers: PicturePickers,
        database: Database,
    ) -> None:
        self._submission = submission
        self._input_images = input_images
        self._pictures = pictures
        self._pickers = pickers
        self._database = database
        self._answering: set[int] = set()
        self._answered: Throttle[int] = Throttle(DOUBLE_CLICK_SECONDS)

    async def submit(
        self, interaction: discord.Interaction[Any], draft: Draft, options: ImageOptions | None = None
    ) -> None:
        """Submit a draft of an edit, or these options in its place; first ask for the picture or prompt it lacks.

        Raises :class:`RequestError`.
        """
        picture = draft.picture
        assert picture is not None, "a draft of an edit"
        invocation = InteractionInvocation(interaction)
        if options is not None:
            draft = Draft.of(options, private=draft.private, picture=picture, mask=draft.mask)
        with drafted(draft):
            options = options or draft.options()
            read = self._submission.read_edit(options)
            found = await self._find(invocation, picture, read.which)
            if not isinstance(found, InputImage):
                await self._pickers.ask(
                    invocation, await keep_draft(self._database, invocation.user.id, draft), draft, found
                )
            elif not read.prompt.strip():
                await self._ask_for_prompt(interaction, draft, found)
            else:
                mask = await self._pictures.find(invocation, draft.mask) if draft.mask else None
                await self._submission.edit(invocation, Edit(options, mask=mask), found)

    async def on_pick(self, interaction: discord.Interaction[Any], draft_id: int, image_id: str | None) -> None:
        """Edit the image that was chosen, or end the question if none was.

        Raises :class:`Refusal` if somebody else was asked, and :class:`RequestError` if the image cannot be edited; the
        question can be answered again then.
        """
        kept = await find_draft(self._database, draft_id)
        if kept is None:
            asked = interaction.message.content if interaction.message is not None else ""
            await edit_private(interaction, content=over_text(asked), view=None, attachments=[])
            return
        draft, owner_id = kept
        if owner_id != interaction.user.id:
            raise Refusal("Only the member who was asked can answer this.")
        if image_id is None:
            check_private(interaction)
            await interaction.response.defer()
            await interaction.delete_original_response()
            return
        if draft_id in self._answering or self._answered.remaining(draft_id):  # a double click
            await interaction.response.defer()
            return
        self._answering.add(draft_id)
        try:
            await self.submit(interaction, replace(draft, picture=image_reference(image_id)))
            if interaction.response.type is not discord.InteractionResponseType.modal:
                self._answered.start(draft_id)
                await self._pickers.close(interaction)
        finally:
            self._answering.discard(draft_id)

    async def _find(
        self, invocation: InteractionInvocation, reference: str, which: int | None
    ) -> InputImage | Sequence[ImageRow]:
        """Return the picture with this name, or several that may be meant. ``which`` is its number in its message."""
        rows: Sequence[ImageRow] = []
        if reference == NEWEST:
            rows = await self._pictures.newest(invocation, which)
            if len(rows) == 1:
                return await self._input_images.guessed(invocation, rows[0])
        elif (source := source_of(reference)) is not None and which is None:
            rows = await self._input_images.rows_of_link(invocation, source)
        return rows if len(rows) > 1 else await self._pictures.find(invocation, reference, which)

    async def _ask_for_prompt(self, interaction: discord.Interaction[Any], draft: Draft, image: InputImage) -> None:
        """Answer with the form that asks for the prompt of an edit, filled in with the picture's own."""
        models = await self._submission.chosen.models_for(InteractionInvocation(interaction), image.model, edit=True)
        draft = replace(draft, picture=image.reference)
        if draft == Draft("", picture=image_reference(image.parent_id or "")):  # nothing else is known
            await interaction.response.send_modal(EditModal(f"i{image.parent_id}", image.prompt, models.usual))
            return
        draft_id = await keep_draft(self._database, interaction.user.id, draft)
        filled = replace(draft, prompt=f"{image.prompt} {draft.prompt}".strip())
        await interaction.response.send_modal(RequestModal(f"d{draft_id}", filled, models, title="Edit this picture"))


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the buttons of the question which picture is meant."""
    del parts  # they find it through the interaction
    bot.add_dynamic_items(PickButton)
