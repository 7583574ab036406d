"""The question which of several pictures is meant: a numbered contact sheet, and a button for each number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of
from bot.views.text import MESSAGE_LIMIT, inert

_NONE = "none"
_IN_A_ROW = 5
_HINT = (
    "-# Nothing is charged before you choose. If it is none of these: right-click the picture (on a phone: hold it) → "
    "Apps → **Edit image**, or give `/edit` a `source` or an `image`."
)


class PickButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:pick-(?P<image>[0-9a-f]{{12}}|{_NONE}):p(?P<picker>[0-9a-f]{{12}})\Z",
):
    """Answers a question with one of its pictures, or with none."""

    def __init__(self, image_id: str, picker_id: str, label: str = "1", *, first: bool = False) -> None:
        self.image_id = None if image_id == _NONE else image_id
        self.picker_id = picker_id
        style = discord.ButtonStyle.primary if first else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"zib:pick-{image_id}:p{picker_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).pickers.on_pick(interaction, self.picker_id, self.image_id)


def picker_view(picker_id: str, image_ids: Sequence[str]) -> discord.ui.View:
    """Return a button for each image, numbered from 1, the first one emphasised, and a button to stop."""
    view = SafeView(timeout=None)
    for number, image_id in enumerate(image_ids, 1):
        button = PickButton(image_id, picker_id, str(number), first=number == 1)
        button.item.row = (number - 1) // _IN_A_ROW
        view.add_item(button)
    view.add_item(PickButton(_NONE, picker_id, "Cancel"))
    return view


def picker_text(prompt: str) -> str:
    """Return the question, with the prompt that was typed, if any."""
    return f"{_asked(prompt, 'Which picture should I change?')}\n{_HINT}"


def expired_text(prompt: str) -> str:
    """Return what the question becomes when it can no longer be answered."""
    return _asked(prompt, "This question is over, and nothing was charged: please use `/edit` again.")


def _asked(prompt: str, sentence: str) -> str:
    room = MESSAGE_LIMIT - len(sentence) - len(_HINT) - 2
    return f"{sentence}\n{inert(prompt, room)}" if prompt else sentence
