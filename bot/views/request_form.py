"""The request form: a modal with a whole request, to be edited and asked for again.

Its ``custom_id`` says what a request is about besides its words: ``zib:request:new`` for new pictures, ``:d…`` for the
picture that a draft edits, ``:j…`` for the one that a job edited. A filled-in form is read from its interaction alone,
so that a form that was opened before a restart still works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import discord

from bot.inert import head
from bot.requests.drafts import Draft
from bot.requests.models import Models
from bot.requests.options import NEGATIVE
from bot.views.base import SafeModal
from bot.views.picture_references import attachment_reference
from zimage_engine.profiles import PROMPT_LIMIT

_ID = re.compile(r"zib:request:(?:new|d(?P<draft>\d{1,18})|j(?P<job>\d{1,18})|picture)\Z")
_TITLE_LIMIT = 45
_PRIVATE: tuple[tuple[str, str, bool | None], ...] = (
    ("settings", "As in my settings", None),
    ("yes", "Yes, only I see it", True),
    ("no", "No", False),
)


@dataclass(frozen=True, slots=True)
class RequestForm:
    """A filled-in form. ``draft`` has its words; its picture is that of ``draft_id`` or ``job_id`` if one is given."""

    draft: Draft
    draft_id: int | None = None
    job_id: int | None = None


class RequestModal(SafeModal):
    """Asks for a prompt, a negative prompt if a model takes one, options as a line of flags, and whether it is private.

    ``target`` is "new", ``d<draft>`` or ``j<job>``; "picture" asks for the picture to edit, too. ``note`` stands above
    the fields.
    """

    def __init__(
        self, target: str, draft: Draft, models: Models, *, title: str = "Edit request", note: str = ""
    ) -> None:
        super().__init__(title=title[:_TITLE_LIMIT], custom_id=f"zib:request:{target}")
        assert _ID.match(self.custom_id), self.custom_id
        if note:
            self.add_item(discord.ui.TextDisplay(note))
        flags = draft.flags
        if target == "picture":
            upload: discord.ui.FileUpload[Any] = discord.ui.FileUpload(custom_id="picture", max_values=1)
            self.add_item(discord.ui.Label(text="The picture to change", component=upload))
        label = "What the picture shows afterwards" if draft.is_edit else "What the picture shows"
        self._add_text("prompt", label, draft.prompt, long=True)
        if models.offer(NEGATIVE, 1):
            self._add_text("negative", "What it should not show", draft.negative, required=False)
        elif draft.negative:
            flags = f"{flags} --no {draft.negative}".strip()  # last, so that a long one cuts off no other flag
        example = "--strength 0.5 --seed 7" if draft.is_edit else "--ar 16:9 --size large --seed 7"
        self._add_text("flags", "Options", flags, hint=f"Like {example}", required=False)
        choices = [
            discord.SelectOption(label=text, value=value, default=private == draft.private)
            for value, text, private in _PRIVATE
        ]
        select: discord.ui.Select[Any] = discord.ui.Select(custom_id="private", options=choices)
        self.add_item(discord.ui.Label(text="Private", component=select))

    def _add_text(
        self, name: str, label: str, text: str, *, hint: str | None = None, long: bool = False, required: bool = True
    ) -> None:
        style = discord.TextStyle.paragraph if long else discord.TextStyle.short
        words: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=style,
            custom_id=name,
            default=head(text, PROMPT_LIMIT) or None,
            max_length=PROMPT_LIMIT,
            required=required,
        )
        self.add_item(discord.ui.Label(text=label, description=hint, component=words))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Do nothing: the client reads every filled-in form with :func:`read_request_form`."""


def read_request_form(interaction: discord.Interaction[Any]) -> RequestForm | None:
    """Return the filled-in form of a modal interaction; None if the modal is not a :class:`RequestModal`."""
    data: Any = interaction.data or {}
    match = _ID.match(str(data.get("custom_id", "")))
    if match is None:
        return None
    values: dict[str, list[str]] = {}
    for row in data.get("components", []):
        item = row.get("component") or {}
        values[str(item.get("custom_id"))] = [str(each) for each in item.get("values") or [item.get("value") or ""]]
    texts = {name: given[0] for name, given in values.items()}
    private = next((value for name, _, value in _PRIVATE if name == texts.get("private")), None)
    picture = None if data["custom_id"] == "zib:request:new" else ""
    uploads: Any = data.get("resolved", {}).get("attachments", {})
    if texts.get("picture") in uploads:
        uploaded = discord.Attachment(data=uploads[texts["picture"]], state=interaction._state)  # noqa: SLF001
        picture = attachment_reference(uploaded)
    draft = Draft(texts.get("prompt", ""), texts.get("negative", ""), texts.get("flags", ""), private, picture)
    return RequestForm(
        draft, int(match["draft"]) if match["draft"] else None, int(match["job"]) if match["job"] else None
    )
