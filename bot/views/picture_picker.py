"""The question which of several pictures is meant: a numbered contact sheet, and a button for each number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from bot.inert import inert, utf16_length
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of
from bot.views.text import MESSAGE_LIMIT

_NONE = "none"
_IN_A_ROW = 5
_QUESTION = "Which picture should I change?"
_OVER = "This question has expired, and nothing was charged: please use `/edit` again."
_HINT = (
    "-# Nothing is charged before you choose. If it is none of these: right-click the picture (on a phone: hold it) → "
    "Apps → **Edit image**, or give `/edit` a `source` or an `image`."
)


class PickButton(
    SafeDynamicItem[discord.ui.Button[Any]],
    template=rf"zib:pick-(?P<image>[0-9a-f]{{12}}|{_NONE}):d(?P<draft>\d{{1,18}})\Z",
):
    """Answers the question for a draft's picture with one of those, or with none."""

    def __init__(self, image_id: str, draft_id: int | str, label: str = "1", *, first: bool = False) -> None:
        self.image_id = None if image_id == _NONE else image_id
        self.draft_id = int(draft_id)
        style = discord.ButtonStyle.primary if first else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"zib:pick-{image_id}:d{draft_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).edit_requests.on_pick(interaction, self.draft_id, self.image_id)


def picker_view(draft_id: int, image_ids: Sequence[str]) -> discord.ui.View:
    """Return a button for each image, numbered from 1, the first one emphasised, and a button to stop."""
    view = SafeView(timeout=None)
    for number, image_id in enumerate(image_ids, 1):
        button = PickButton(image_id, draft_id, str(number), first=number == 1)
        button.item.row = (number - 1) // _IN_A_ROW
        view.add_item(button)
    view.add_item(PickButton(_NONE, draft_id, "Cancel"))
    return view


def picker_text(typed: str) -> str:
    """Return the question, with what was typed, if anything."""
    room = MESSAGE_LIMIT - utf16_length(f"{_QUESTION}{_HINT}\n\n")
    return "\n".join([_QUESTION, *([inert(typed, room)] if typed else []), _HINT])


def over_text(asked: str) -> str:
    """Return what a question becomes when its draft is no longer kept. It goes on showing what was typed."""
    typed = [line for line in asked.split("\n") if line not in (_QUESTION, _HINT)]
    return "\n".join([_OVER, *typed])
