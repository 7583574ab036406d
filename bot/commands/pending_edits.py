"""Edits that lack something: the picture, which a picker asks for, or the prompt, which a form asks for.

They are kept in memory alone: an attachment cannot be named in the ``custom_id`` of a form.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from typing import Any

import discord

from bot.commands.input_images import InputImage, InputImages
from bot.commands.invocation import InteractionInvocation
from bot.commands.submission import Edit, Submission
from bot.errors import Refusal
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.spec import ImageOptions
from bot.views.modals import EditForm, EditModal
from bot.views.text import MESSAGE_LIMIT, inert

_MAX = 500
_GONE = "I no longer have what this form was about: please use `/edit` again."


@dataclass(frozen=True, slots=True)
class PendingEdit:
    """An edit as far as it is known; ``input_image`` is None until the picture is chosen."""

    edit: Edit
    private: bool | None
    input_image: InputImage | None = None

    def with_image(self, input_image: InputImage) -> PendingEdit:
        return replace(self, input_image=input_image)

    @property
    def has_prompt(self) -> bool:
        """True if there is a prompt besides flags. Raises :class:`InvalidRequest` if a flag is wrong."""
        return bool(read_flags(self.edit.options, EDIT_FLAGS).prompt.strip())

    @property
    def only_image(self) -> bool:
        """True if nothing is known but the picture, and that is one of the bot's: its id is all that a form needs."""
        image = self.input_image
        ours = image is not None and image.parent_id is not None and not image.note
        return ours and self.private is None and self.edit == Edit(ImageOptions(""))


class PendingEdits:
    """The last 500 edits for whose prompt a form asks."""

    def __init__(self, submission: Submission, input_images: InputImages) -> None:
        self._submission = submission
        self._input_images = input_images
        self._open: OrderedDict[str, PendingEdit] = OrderedDict()

    async def ask_for_prompt(self, interaction: discord.Interaction[Any], pending: PendingEdit) -> None:
        """Answer with the form that asks for the prompt of an edit whose picture is known."""
        image = pending.input_image
        assert image is not None
        options = read_flags(pending.edit.options, EDIT_FLAGS)
        if pending.only_image:
            target = f"i{image.parent_id}"
        else:
            key = secrets.token_hex(6)
            target = f"k{key}"
            self._open[key] = replace(pending, edit=replace(pending.edit, options=options))
            while len(self._open) > _MAX:
                self._open.popitem(last=False)
        modal = EditModal(target, image.prompt, self._submission.profile, given=options)
        await interaction.response.send_modal(modal)

    async def on_form(self, interaction: discord.Interaction[Any], key: str, form: EditForm) -> None:
        """Carry out the edit with the prompt and the options of a filled-in form.

        Raises :class:`Refusal`, which repeats the prompt, if the edit is no longer known.
        """
        pending = self._open.get(key)
        if pending is None or pending.input_image is None:
            raise Refusal(f"{_GONE}\n{inert(form.prompt, MESSAGE_LIMIT - len(_GONE) - 1)}")
        invocation, image = InteractionInvocation(interaction), pending.input_image
        if image.parent_id is not None:
            await self._input_images.image(invocation, image.parent_id)  # it may have been deleted meanwhile
        edit = replace(pending.edit, options=_merged(pending.edit.options, form.options()))
        await self._submission.edit(invocation, edit, image, private=pending.private)


def _merged(options: ImageOptions, changes: ImageOptions) -> ImageOptions:
    """Return the options with those of ``changes`` that are given."""
    given = {field.name: getattr(changes, field.name) for field in fields(changes)}
    return replace(options, **{name: value for name, value in given.items() if value is not None})
