"""[Edit request], the alternatives beside it, and Remix: requests that are edited and asked for again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import discord
from discord.ext import commands

from bot.commands.draft_pictures import DraftPictures
from bot.commands.edit_requests import EditRequests
from bot.commands.forms import listen_to_forms
from bot.commands.input_images import InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.picture_picker import PicturePickers
from bot.commands.questions import Questions
from bot.commands.submission import Submission
from bot.errors import Refusal
from bot.moderation.access import Action
from bot.requests.drafts import Draft, drafted, find_draft, repeated_options
from bot.requests.flags import options_with_flags
from bot.requests.spec import ImageOptions, ImageSpec
from bot.store import images, job_rows
from bot.store.database import Database
from bot.store.job_rows import JobRow
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.drafts import DRAFT_ITEMS
from bot.views.request_form import RequestForm, RequestModal, read_request_form
from bot.views.text import readable

_NOT_KEPT = (
    "This request is no longer kept: I keep your last ones for 24 hours. Its words are in the message above; copy them "
    "into /imagine or /edit."
)
_NOT_YOURS = "Only the member who asked for this picture can edit the request."
_ENDED = "This picture's request is no longer kept."


class DraftActions:
    """Implements :class:`bot.views.parts.DraftHandler`, and submits filled-in request forms."""

    def __init__(
        self,
        submission: Submission,
        input_images: InputImages,
        database: Database,
        pictures: DraftPictures,
        edit_requests: EditRequests,
        pickers: PicturePickers,
        questions: Questions,
    ) -> None:
        self._submission = submission
        self._input_images = input_images
        self._database = database
        self._pictures = pictures
        self._edit_requests = edit_requests
        self._pickers = pickers
        self._questions = questions
        self._clicks: Throttle[tuple[int, int, int]] = Throttle(DOUBLE_CLICK_SECONDS)

    async def on_edit(self, interaction: discord.Interaction[Any], draft_id: int) -> None:
        """Open the form with a draft. Raises :class:`Refusal` if it is not kept, or another member's."""
        draft = await self._draft(interaction, draft_id)
        if draft.picture is None:
            target = "new"
        else:
            found = await self._pictures.is_there(InteractionInvocation(interaction), draft.picture)
            target = f"d{draft_id}" if found else "picture"
        await interaction.response.send_modal(self._modal(target, draft))

    async def on_alternative(self, interaction: discord.Interaction[Any], draft_id: int, number: int) -> None:
        """Submit the request that was offered in a draft's place."""
        draft = await self._draft(interaction, draft_id)
        if number >= len(draft.alternatives):
            raise Refusal(_NOT_KEPT)
        if not self._clicks.take((interaction.user.id, draft_id, number)):
            await interaction.response.defer()  # a double click
            return
        options = draft.alternatives[number].options
        if options.private is None and "private" not in options_with_flags(options.prompt):
            options = replace(options, private=draft.private)
        await self._submit(interaction, draft, options)

    async def on_job(self, interaction: discord.Interaction[Any], job_id: int) -> None:
        """Open the form with the request of a job, for its owner. Raises :class:`Refusal`."""
        row = await self._database.read(partial(job_rows.find, job_id=job_id))
        if row is None or not row.owner_id or not ImageSpec.from_json(row.spec).prompt:
            raise Refusal(_NOT_KEPT)
        if row.owner_id != interaction.user.id:
            raise Refusal(_NOT_YOURS)
        await self._open(interaction, row, "Edit request", seed=ImageSpec.from_json(row.spec).seed)

    async def on_text(self, interaction: discord.Interaction[Any]) -> None:
        """Open the form with the words that the message of the button repeats."""
        message = interaction.message
        await interaction.response.send_modal(self._modal("new", Draft(readable(message.content if message else ""))))

    async def remix(self, interaction: discord.Interaction[Any], job_id: int) -> None:
        """Open the form with the request of a result that the member may see, for a new picture from its own seed."""
        row = await self._database.read(partial(job_rows.find, job_id=job_id))
        if row is None or not ImageSpec.from_json(row.spec).prompt:
            raise Refusal(_ENDED)
        await self._open(interaction, row, "Remix")

    async def on_form(self, interaction: discord.Interaction[Any], form: RequestForm) -> None:
        """Submit a filled-in form. Raises :class:`RequestError`."""
        draft = form.draft
        with drafted(draft):
            if form.draft_id is not None:
                kept = await self._draft(interaction, form.draft_id)
                draft = replace(draft, picture=kept.picture, mask=kept.mask)
            elif form.job_id is not None:
                picture, mask = await self._picture_of_job(interaction, form.job_id)
                draft = replace(draft, picture=picture, mask=mask)
        self._questions.drop_on(interaction.message)
        await self._submit(interaction, draft)
        await self._pickers.close(interaction)

    async def _draft(self, interaction: discord.Interaction[Any], draft_id: int) -> Draft:
        """Return the member's draft. Raises :class:`Refusal` if it is not kept, or another member's."""
        found = await find_draft(self._database, draft_id)
        if found is None:
            raise Refusal(_NOT_KEPT)
        draft, owner_id = found
        if owner_id != interaction.user.id:
            raise Refusal(_NOT_YOURS)
        return draft

    async def _open(
        self, interaction: discord.Interaction[Any], row: JobRow, title: str, *, seed: int | None = None
    ) -> None:
        spec = ImageSpec.from_json(row.spec)
        invocation = InteractionInvocation(interaction)
        models = await self._submission.chosen.models_for(invocation, spec.model, edit=bool(spec.original))
        options = repeated_options(spec, models)
        options = replace(options, seed=seed, count=len(row.images) if len(row.images) > 1 else None)
        draft = Draft.of(options, private=True if row.visibility == "private" else None)
        if not spec.original:
            await interaction.response.send_modal(self._modal("new", draft, title, models.note))
            return
        await self._picture_of_job(interaction, row.id)
        await interaction.response.send_modal(self._modal(f"j{row.id}", replace(draft, picture=""), title, models.note))

    async def _picture_of_job(self, interaction: discord.Interaction[Any], job_id: int) -> tuple[str, str]:
        """Return the names of the picture that a job edited and of its mask.

        Raises :class:`Refusal` if the member neither asked for the job nor may edit its pictures.
        """
        row = await self._database.read(partial(job_rows.find, job_id=job_id))
        if row is None or not ImageSpec.from_json(row.spec).original:
            raise Refusal(_NOT_KEPT)
        invocation = InteractionInvocation(interaction)
        await self._input_images.access.check_request(invocation, row.owner_id, row.channel_id)
        if row.owner_id != interaction.user.id:
            shown = await images.of_job(self._database, job_id)
            if not shown:
                raise Refusal("There is no such picture here.")
            await self._input_images.access.check(Action.REPEAT, invocation, shown[0])
            await self._input_images.access.check(Action.EDIT, invocation, shown[0])
        return await self._pictures.of_job(invocation, row)

    async def _submit(
        self, interaction: discord.Interaction[Any], draft: Draft, options: ImageOptions | None = None
    ) -> None:
        """Submit a draft, or these options in its place. Raises :class:`RequestError`."""
        if draft.picture is not None:
            await self._edit_requests.submit(interaction, draft, options)
            return
        with drafted(draft):
            options = options or draft.options()
            await self._submission.imagine(InteractionInvocation(interaction), options)

    def _modal(self, target: str, draft: Draft, title: str = "Edit request", note: str = "") -> RequestModal:
        return RequestModal(target, draft, self._submission.models, title=title, note=note)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the buttons, and the listener for filled-in request forms."""
    bot.add_dynamic_items(*DRAFT_ITEMS)
    listen_to_forms(bot, read_request_form, parts.drafts.on_form)
