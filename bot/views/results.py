"""The buttons under a result and in its menus. Their ``custom_id`` is ``zib:<what>:<kind><id>``.

The items hold no image and no state, so they work after a restart and on messages a year old.
:class:`bot.views.parts.ResultHandler` handles them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import discord

from bot.inert import cut, one_line
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of
from bot.views.private_messages import custom_ids

RowAction = Literal["edit", "vary", "remix", "again", "upscale", "more"]
"""What the buttons under a result do."""
ImageAction = Literal[
    "edit", "vary", "subtle", "strong", "upscale", "more", "details", "compare", "tree", "delete", "drop", "dropall"
]
"""What can be done with one image: by a button of the row, by the select after it, or by a button of a menu."""
UploadAction = Literal["edit", "again"]
"""What the buttons under the details of an uploaded picture do."""

_ROW_LABELS: dict[RowAction, str] = {
    "edit": "Edit",
    "vary": "Vary",
    "upscale": "Upscale",
    "again": "Again",
    "remix": "Remix",
    "more": "More…",
}
_IN_A_ROW = 3
_ABOUT_THE_JOB: tuple[RowAction, ...] = ("remix", "again")
"""The buttons of the row that are about all images of the job; the others need to know which one is meant."""
_UPLOAD_LABELS: dict[UploadAction, str] = {"edit": "Edit", "again": "Again"}
_IMAGE_LABELS: dict[ImageAction, str] = {
    "subtle": "Subtle",
    "strong": "Strong",
    "details": "Details",
    "compare": "Compare",
    "tree": "Tree",
    "delete": "Delete",
    "more": "Back",
    "drop": "Delete this picture",
    "dropall": "Delete the whole message",
}
_LABEL_LIMIT = 100
"""Discord's limit for the label of a select's option and for the name of an autocomplete's choice."""
_DANGER = ("delete", "drop", "dropall")


class RowButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:(?P<what>{'|'.join(_ROW_LABELS)}):j(?P<job>\d{{1,18}})\Z",
):
    """A button in the row under a result. It is about the whole job, which may have several images."""

    def __init__(self, what: str, job_id: int | str) -> None:
        self.what, self.job_id = what, int(job_id)
        label = _ROW_LABELS[what]  # type: ignore[index]  # the template lets nothing else in
        super().__init__(discord.ui.Button(label=label, custom_id=f"zib:{what}:j{job_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).result_actions.on_row(interaction, self.what, self.job_id)


class ImageButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:(?P<what>{'|'.join(_IMAGE_LABELS)}):i(?P<image>[0-9a-f]{{12}})\Z",
):
    """A button of a private menu, about one image."""

    def __init__(self, what: str, image_id: str) -> None:
        self.what, self.image_id = what, image_id
        style = discord.ButtonStyle.danger if what in _DANGER else discord.ButtonStyle.secondary
        label = _IMAGE_LABELS[what]  # type: ignore[index]  # the template lets nothing else in
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"zib:{what}:i{image_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).result_actions.on_image(interaction, self.what, self.image_id)


class WhichSelect(
    SafeDynamicItem[discord.ui.Select[Any]],
    template=rf"zib:which-(?P<what>{'|'.join(what for what in _ROW_LABELS if what not in _ABOUT_THE_JOB)})"
    r":j(?P<job>\d{1,18})\Z",
):
    """A select that follows a row's button if the job has several images."""

    def __init__(self, what: str, job_id: int | str, options: Sequence[discord.SelectOption] = ()) -> None:
        self.what, self.job_id = what, int(job_id)
        # To receive a choice, any options do: Discord sends the chosen value alone.
        choices = list(options) or [discord.SelectOption(label="1", value="-")]
        select: discord.ui.Select[Any] = discord.ui.Select(
            placeholder="Which picture?", options=choices, custom_id=f"zib:which-{what}:j{job_id}"
        )
        super().__init__(select)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data
        await parts_of(interaction).result_actions.on_image(interaction, self.what, str(data["values"][0]))


class UploadButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:(?P<what>{'|'.join(_UPLOAD_LABELS)}):u(?P<upload>[0-9a-f]{{12}})\Z",
):
    """A button under the details of an uploaded picture."""

    def __init__(self, what: str, upload_id: str) -> None:
        self.what, self.upload_id = what, upload_id
        label = _UPLOAD_LABELS[what]  # type: ignore[index]  # the template lets nothing else in
        super().__init__(discord.ui.Button(label=label, custom_id=f"zib:{what}:u{upload_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).result_actions.on_upload(interaction, self.what, self.upload_id)


RESULT_ITEMS: tuple[type[SafeDynamicItem[Any]], ...] = (RowButton, ImageButton, WhichSelect, UploadButton)


def result_view(job_id: int) -> discord.ui.View:
    """Return the buttons under a result: two rows of three, which fit a phone."""
    view = SafeView(timeout=None)
    for index, what in enumerate(_ROW_LABELS):
        button = RowButton(what, job_id)
        button.item.row = index // _IN_A_ROW
        view.add_item(button)
    return view


def is_result(message: discord.Message, job_id: int) -> bool:
    """Return whether a message has the row under a job's result, or one of its buttons."""
    row = {f"zib:{what}:j{job_id}" for what in _ROW_LABELS}
    return any(custom_id in row for custom_id in custom_ids(message))


def is_menu(message: discord.Message) -> bool:
    """Return whether a message is a step of a private menu about one image, or asks which image is meant."""
    templates = [item.__discord_ui_compiled_template__ for item in (ImageButton, WhichSelect)]
    return message.flags.ephemeral and any(
        template.match(custom_id) for custom_id in custom_ids(message) for template in templates
    )


def picture_label(number: int, seed: int, prompt: str) -> str:
    """Return how a choice among pictures names one: what tells them apart comes first."""
    return cut(f"{number} · seed {seed} · {one_line(prompt)}", _LABEL_LIMIT)


def which_view(what: str, job_id: int, prompt: str, images: Sequence[tuple[str, int]]) -> discord.ui.View:
    """Return the select that asks which of a job's images, given as ids and seeds, is meant."""
    options = [
        discord.SelectOption(label=picture_label(number, seed, prompt), value=image_id)
        for number, (image_id, seed) in enumerate(images, 1)
    ]
    return _view([WhichSelect(what, job_id, options)])


def vary_view(image_id: str) -> discord.ui.View:
    return _view(ImageButton(what, image_id) for what in ("subtle", "strong"))


def more_view(image_id: str, *, has_parent: bool, may_delete: bool) -> discord.ui.View:
    whats = ["details", *(["compare"] if has_parent else []), "tree", *(["delete"] if may_delete else [])]
    return _view(ImageButton(what, image_id) for what in whats)


def delete_view(image_id: str, *, several: bool) -> discord.ui.View:
    return _view(ImageButton(what, image_id) for what in ("drop", *(["dropall"] if several else []), "more"))


def upload_view(upload_id: str, *, again: bool) -> discord.ui.View:
    return _view(UploadButton(what, upload_id) for what in (("again", "edit") if again else ("edit",)))


def _view(items: Any) -> discord.ui.View:
    view = SafeView(timeout=None)
    for item in items:
        view.add_item(item)
    return view


def image_option(number: int, name: str) -> discord.SelectOption:
    return discord.SelectOption(label=cut(name, _LABEL_LIMIT), value=str(number))
