"""The edit form: a modal that asks for a prompt and for those options that have a field in it.

The form's ``custom_id`` names the picture. A filled-in form is read from its interaction alone, so that a form that was
opened before a restart still works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import discord

from bot.errors import Refusal
from bot.inert import head, in_quotes
from bot.requests.flags import options_with_flags
from bot.requests.options import OPTIONS
from bot.requests.spec import ImageOptions
from bot.views.base import SafeModal
from bot.views.ids import SNOWFLAKE
from bot.views.results import image_option
from zimage_engine.profiles import PROMPT_LIMIT, ModelProfile

_ID = re.compile(
    r"zib:modal:(?:i(?P<image>[0-9a-f]{12})|u(?P<upload>[0-9a-f]{12})"
    rf"|m(?P<channel>{SNOWFLAKE})-(?P<message>{SNOWFLAKE}))\Z"
)
_NUMBER = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class EditForm:
    """A filled-in form. One of ``image_id``, ``upload_id`` and ``message`` (channel and message id) names the picture.

    ``texts`` has the texts of the options' fields by option, ``which`` the picture's number in its message, from 1.
    """

    image_id: str | None
    upload_id: str | None
    message: tuple[int, int] | None
    prompt: str
    texts: dict[str, str]
    which: int | None

    def options(self) -> ImageOptions:
        """Return the options of the form; an empty field is "not given", and a flag in the prompt wins over its field.

        Raises :class:`Refusal` if a text is not a value of its option.
        """
        values: dict[str, Any] = {}
        flagged = options_with_flags(self.prompt)
        for option in OPTIONS:
            text = self.texts.get(option.name, "").strip()
            if option.form is None or not text or option.name in flagged:
                continue
            if option.value_type is float:
                text = text.replace(",", ".")  # many languages write 0,5
            values[option.name] = option.form.parse(text)
            if values[option.name] is None:
                raise Refusal(f"{in_quotes(text, 20)} is not a value for {option.name}: give {option.form.takes}.")
        return ImageOptions(self.prompt, **values)


class EditModal(SafeModal):
    """Asks for a prompt and options. ``names`` are those of a message's pictures, of which one is chosen."""

    def __init__(self, target: str, prompt: str, profile: ModelProfile, names: list[str] | None = None) -> None:
        super().__init__(title="Edit this picture", custom_id=f"zib:modal:{target}")
        assert _ID.match(self.custom_id), self.custom_id
        if names and len(names) > 1:
            choices = [image_option(number, name) for number, name in enumerate(names, 1)]
            choices[0].default = True
            self.add_item(
                discord.ui.Label(text="Which picture?", component=discord.ui.Select(custom_id="which", options=choices))
            )
        words: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph,
            custom_id="prompt",
            default=head(prompt, PROMPT_LIMIT) or None,
            max_length=PROMPT_LIMIT,
        )
        self.add_item(discord.ui.Label(text="What the picture shows afterwards", component=words))
        for option in OPTIONS:
            default = option.form.default(profile) if option.form is not None else None
            if option.form is None or default is None:
                continue
            value: discord.ui.TextInput[Any] = discord.ui.TextInput(
                custom_id=option.name,
                default=option.format(default),
                max_length=option.form.length_max,
                required=False,
            )
            self.add_item(discord.ui.Label(text=option.form.label, description=option.form.hint, component=value))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Do nothing: the client reads every filled-in form with :func:`read_form`."""


def read_form(interaction: discord.Interaction[Any]) -> EditForm | None:
    """Return the filled-in form of a modal interaction; None if the modal is not an :class:`EditModal`."""
    data: Any = interaction.data or {}
    match = _ID.match(str(data.get("custom_id", "")))
    if match is None:
        return None
    texts: dict[str, str] = {}
    for row in data.get("components", []):
        for item in [row.get("component"), *row.get("components", [])]:
            if item is not None:
                texts[str(item.get("custom_id"))] = str(item.get("value") or (item.get("values") or [""])[0] or "")
    message = (int(match["channel"]), int(match["message"])) if match["message"] else None
    prompt, which = texts.pop("prompt", ""), texts.pop("which", "")
    number = int(which) if _NUMBER.fullmatch(which) else None
    return EditForm(match["image"], match["upload"], message, prompt, texts, number)
