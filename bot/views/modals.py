"""The one modal: what to change about a picture, and how much.

Its ``custom_id`` says which picture, and everything it was filled with comes back with it. So it is read from the
interaction alone, and one that was open across a restart works like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import discord

from bot.views.base import SafeModal
from bot.views.results import image_option
from zimage_engine.profiles import PROMPT_LIMIT

_ID = re.compile(
    r"zib:modal:(?:i(?P<image>[0-9a-f]{12})|u(?P<upload>[0-9a-f]{12})|m(?P<channel>\d+)-(?P<message>\d+))\Z"
)


@dataclass(frozen=True, slots=True)
class EditForm:
    """A filled-in modal: which picture is meant (one of the three ways), and what was typed."""

    image_id: str | None
    upload_id: str | None
    message: tuple[int, int] | None
    prompt: str
    strength: str
    which: int | None


class EditModal(SafeModal):
    """Asks for a prompt and, where the model knows it, a strength; ``names`` are those of a message's pictures."""

    def __init__(self, target: str, prompt: str, strength: float | None, names: list[str] | None = None) -> None:
        super().__init__(title="Edit this picture", custom_id=f"zib:modal:{target}")
        assert _ID.match(self.custom_id), self.custom_id
        if names and len(names) > 1:
            options = [image_option(number, name) for number, name in enumerate(names, 1)]
            options[0].default = True
            self.add_item(
                discord.ui.Label(text="Which picture?", component=discord.ui.Select(custom_id="which", options=options))
            )
        words: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph, custom_id="prompt", default=prompt or None, max_length=PROMPT_LIMIT
        )
        self.add_item(discord.ui.Label(text="What the picture shows afterwards", component=words))
        if strength is not None:
            number: discord.ui.TextInput[Any] = discord.ui.TextInput(
                custom_id="strength", default=f"{strength:g}", max_length=6, required=False
            )
            hint = "0.3 keeps nearly everything, 0.9 nearly nothing"
            self.add_item(discord.ui.Label(text="Strength", description=hint, component=number))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Nothing: the client reads every filled-in modal from the interaction itself."""


def read_form(interaction: discord.Interaction[Any]) -> EditForm | None:
    """What a filled-in modal says; None where it is none of ours."""
    data: Any = interaction.data or {}
    match = _ID.match(str(data.get("custom_id", "")))
    if match is None:
        return None
    values: dict[str, str] = {}
    for row in data.get("components", []):
        for item in [row.get("component"), *row.get("components", [])]:
            if item is not None:
                values[str(item.get("custom_id"))] = str(item.get("value") or (item.get("values") or [""])[0] or "")
    message = (int(match["channel"]), int(match["message"])) if match["message"] else None
    which = values.get("which", "")
    return EditForm(
        match["image"],
        match["upload"],
        message,
        values.get("prompt", ""),
        values.get("strength", "").strip().replace(",", "."),
        int(which) if which.isdecimal() else None,
    )
