"""Handles the buttons under a result and in its private menus, and the edit form."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import discord
from discord.ext import commands

from bot.commands.drafts import DraftActions
from bot.commands.gallery import Gallery
from bot.commands.input_images import InputImage, InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.private_menus import PrivateMenus
from bot.commands.submission import Edit, Submission
from bot.errors import Refusal
from bot.moderation.access import Action
from bot.requests.models import by_model
from bot.requests.options import options_of
from bot.requests.spec import ImageOptions, ImageSpec
from bot.store import images
from bot.store.database import Database
from bot.store.images import ImageRow
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.modals import EditForm, EditModal
from bot.views.results import RESULT_ITEMS, vary_view, which_view
from zimage_engine.profiles import SEED_LIMIT, ModelProfile, Size
from zimage_engine.types import InvalidRequest

_Action = Callable[[discord.Interaction[Any], ImageRow], Awaitable[None]]

_VARY = {"subtle": 0.4, "strong": 0.8}
_UPSCALE_STRENGTH = 0.3
_UPSCALE = 2


class ResultActions:
    """Implements :class:`bot.views.parts.ResultHandler`, and handles edit forms."""

    def __init__(
        self,
        submission: Submission,
        input_images: InputImages,
        gallery: Gallery,
        menus: PrivateMenus,
        drafts: DraftActions,
        database: Database,
    ) -> None:
        self._submission = submission
        self._drafts = drafts
        self._input_images = input_images
        self._gallery = gallery
        self._menus = menus
        self._database = database
        self._clicks: Throttle[tuple[int, str]] = Throttle(DOUBLE_CLICK_SECONDS)
        self._job_actions: dict[str, _Action] = {"again": self._again, "remix": self._remix}
        self._image_actions: dict[str, _Action] = {
            "edit": self._ask_for_edit,
            "vary": self._ask_how_to_vary,
            "subtle": self._vary_subtly,
            "strong": self._vary_strongly,
            "upscale": self._upscale,
            "more": gallery.show_menu,
            "details": gallery.details,
            "compare": gallery.compare,
            "tree": gallery.tree,
            "delete": gallery.ask_delete,
            "drop": gallery.drop,
            "dropall": gallery.drop_all,
        }

    async def on_row(self, interaction: discord.Interaction[Any], what: str, job_id: int) -> None:
        """Handle a button under a result; if the job has several images, ask which one is meant."""
        rows = await images.of_job(self._database, job_id)
        invocation = InteractionInvocation(interaction)
        if not rows:
            gone = await images.any_of_job(self._database, job_id)
            forgotten = gone is not None and gone.forgotten_at is not None
            raise Refusal(
                self._input_images.access.why_gone(gone)
                if gone and forgotten
                else "The pictures of this message were deleted."
            )
        await self._input_images.access.check(Action.SEE, invocation, rows[0])
        if what in self._job_actions:
            await self._job_actions[what](interaction, rows[0])
        elif len(rows) > 1:
            prompt = ImageSpec.from_json(rows[0].spec).prompt
            view = which_view(what, job_id, prompt, [(row.id, row.seed) for row in rows])
            await self._menus.show(interaction, "Which picture?", view)
        else:
            await self._image_actions[what](interaction, rows[0])

    async def on_image(self, interaction: discord.Interaction[Any], what: str, image_id: str) -> None:
        """Handle a button or a choice about one image."""
        row = await self._input_images.access.visible_row(InteractionInvocation(interaction), image_id)
        await self._image_actions[what](interaction, row)

    async def on_upload(self, interaction: discord.Interaction[Any], what: str, upload_id: str) -> None:
        """Handle a button under the details of an uploaded picture."""
        upload = await self._upload(interaction, upload_id)
        spec = ImageSpec.from_json(upload.spec)
        if what == "edit":
            await self._open_form(interaction, f"u{upload_id}", spec)
            return
        if not await self._is_first_click(interaction, f"again u{upload_id}"):
            return
        invocation = InteractionInvocation(interaction)
        spec, private, defaults = await self._repeated(invocation, spec)
        await self._submission.submit(
            invocation,
            _reseeded(spec),
            1,
            kind="again",
            private=private,
            defaults=defaults,
            spoiler=bool(upload.spoiler),
        )

    async def on_form(
        self, interaction: discord.Interaction[Any], form: EditForm, input_image: InputImage | None
    ) -> None:
        """Handle a filled-in edit form. ``input_image`` is given if the form is about a message's picture."""
        invocation = InteractionInvocation(interaction)
        if form.image_id is not None:
            input_image = await self._input_images.image(invocation, form.image_id)
        elif form.upload_id is not None:
            input_image = await self._of_upload(interaction, form.upload_id)
        assert input_image is not None, "a modal names its picture"
        await self._submission.edit(invocation, Edit(form.options()), input_image)
        await self._menus.close(interaction)

    async def _is_first_click(self, interaction: discord.Interaction[Any], what: str) -> bool:
        """Return True for the member's first click on the same within three seconds; the others get no message."""
        if self._clicks.take((interaction.user.id, what)):
            return True
        await interaction.response.defer()
        return False

    async def _ask_for_edit(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._open_form(interaction, f"i{row.id}", ImageSpec.from_json(row.spec))

    async def _open_form(self, interaction: discord.Interaction[Any], target: str, spec: ImageSpec) -> None:
        """Answer with the form that edits a picture, filled in for the model that will do it."""
        models = await self._submission.chosen.models_for(InteractionInvocation(interaction), spec.model, edit=True)
        await interaction.response.send_modal(EditModal(target, spec.prompt, models.usual))

    async def _ask_how_to_vary(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._menus.show(interaction, "How much may it differ?", vary_view(row.id))

    async def _vary_subtly(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._vary(interaction, row, "subtle")

    async def _vary_strongly(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._vary(interaction, row, "strong")

    async def _vary(self, interaction: discord.Interaction[Any], row: ImageRow, how: str) -> None:
        if not await self._is_first_click(interaction, f"{how} {row.id}"):
            return
        options = _complete_options(ImageSpec.from_json(row.spec), strength=_VARY[how])
        await self._change(interaction, row, Edit(options, "vary"))

    async def _upscale(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Submit an edit at twice the size, or the largest that the model can generate, with low strength."""
        if not await self._is_first_click(interaction, f"upscale {row.id}"):
            return
        for active in self._submission.jobs.active.values():
            request = active.job.request
            if (request.kind, request.owner_id, request.parent_image_id) == ("upscale", interaction.user.id, row.id):
                raise Refusal("Already on it: this picture is being upscaled for you.")
        spec = ImageSpec.from_json(row.spec)
        models = await self._submission.chosen.models_for(InteractionInvocation(interaction), spec.model, edit=True)
        options = _complete_options(spec, strength=_UPSCALE_STRENGTH)
        options = replace(options, size=str(upscaled(spec.size, models.usual)))
        await self._change(interaction, row, Edit(options, "upscale"))

    async def _change(self, interaction: discord.Interaction[Any], row: ImageRow, edit: Edit) -> None:
        invocation = InteractionInvocation(interaction)
        await self._submission.edit(invocation, edit, await self._input_images.image(invocation, row.id))
        await self._menus.close(interaction)

    async def _again(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        """Submit the same spec with a random seed and as many images; an edit starts from the same original."""
        if not await self._is_first_click(interaction, f"again {row.job_id}"):
            return
        spec = ImageSpec.from_json(row.spec)
        invocation, original = InteractionInvocation(interaction), None
        await self._input_images.access.check(Action.REPEAT, invocation, row)
        if spec.original:
            await self._input_images.access.check(Action.EDIT, invocation, row)
            original = await asyncio.to_thread(self._submission.jobs.originals.load, spec.original, spec.mask)
        spec, private, defaults = await self._repeated(invocation, spec)
        if original is not None and spec.size != original.size:
            original = await asyncio.to_thread(original.resized, spec.size)
        parent = await images.find(self._database, row.parent_id) if row.parent_id else None
        visible = parent is not None and await self._input_images.access.allows(Action.SEE, invocation, parent)
        seen = parent if visible else None
        link = self._input_images.of_row(seen, invocation.user.id).link if seen is not None else None
        await self._submission.submit(
            invocation,
            _reseeded(spec),
            min(row.count, self._submission.max_count),
            kind="again",
            private=row.private or private,
            defaults=defaults,
            original=original,
            parent_id=row.parent_id,
            link=link,
            spoiler=bool(row.spoiler),
        )

    async def _repeated(self, invocation: InteractionInvocation, spec: ImageSpec) -> tuple[ImageSpec, bool, str]:
        """Return the spec for the model that makes its picture again, whether it is private, and what the card says.

        The member's own settings decide whether it is private. Raises :class:`InvalidRequest` if the model cannot
        generate it.
        """
        chosen = self._submission.chosen
        models = await chosen.models_for(invocation, spec.model, edit=bool(spec.original))
        if spec.model != models.usual.title:
            spec = by_model(spec, models.usual)
        models.usual.check(spec.request(""))
        same = ImageOptions(spec.prompt, verbatim=True, complete=True)
        _, private, defaults = await chosen.with_settings(invocation, same, models, private=None, edit=False)
        return spec, private, defaults

    async def _remix(self, interaction: discord.Interaction[Any], row: ImageRow) -> None:
        await self._drafts.remix(interaction, row.job_id)

    async def _upload(self, interaction: discord.Interaction[Any], upload_id: str) -> images.Upload:
        upload = await images.find_upload(self._database, upload_id)
        if upload is None or upload.owner_id != interaction.user.id:
            raise Refusal("There is no such picture here.")
        return upload

    async def _of_upload(self, interaction: discord.Interaction[Any], upload_id: str) -> InputImage:
        upload = await self._upload(interaction, upload_id)
        read = partial(asyncio.to_thread, self._gallery.open_upload, upload.original)
        return InputImage(read, spoiler=bool(upload.spoiler), model=ImageSpec.from_json(upload.spec).model)


def upscaled(size: Size, profile: ModelProfile) -> Size:
    """Return twice the size, or the largest of the same shape that the model can generate.

    Both sides are multiples of the model's. Raises :class:`Refusal` if that is at most 10 % more pixels.
    """
    unit = profile.size_multiple
    factor = min(float(_UPSCALE), (profile.max_pixels / size.pixels) ** 0.5)
    larger = Size(int(size.width * factor) // unit * unit, int(size.height * factor) // unit * unit)
    try:
        profile.check_size(larger)
    except InvalidRequest:
        larger = size
    if larger.pixels <= size.pixels * 1.1:
        raise Refusal(f"This picture is already as large as {profile.title} can make it: {size.width}×{size.height}.")
    return larger


def _complete_options(spec: ImageSpec, *, strength: float) -> ImageOptions:
    """Return the options that the image was generated from, with a random seed and another strength."""
    return replace(options_of(spec), seed=None, strength=strength, verbatim=True, complete=True)


def _reseeded(spec: ImageSpec) -> ImageSpec:
    return replace(spec, seed=secrets.randbelow(SEED_LIMIT))


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add the buttons and selects under results and in their menus."""
    del parts  # they find them through the interaction
    bot.add_dynamic_items(*RESULT_ITEMS)
