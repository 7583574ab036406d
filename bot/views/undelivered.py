"""What a member is told of results that could not be posted, with a button to see each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import discord

from bot.store.job_rows import Undelivered
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of

_SHOWN_MAX = 5


class ShowButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:show:j(?P<job>\d{1,18})\Z"):
    """Shows its owner a result that could not be posted."""

    def __init__(self, job_id: int | str, label: str = "Show it") -> None:
        self.job_id = int(job_id)
        super().__init__(discord.ui.Button(label=label, custom_id=f"zib:show:j{job_id}"))

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).undelivered.on_show(interaction, self.job_id)


def undelivered_text(results: Sequence[Undelivered]) -> str:
    """Return which pictures could not be posted, the oldest first, and when they are tried again."""
    lines = [f"I couldn't post your picture from <t:{result.rendered_at}:t>.{_next(result)}" for result in results]
    more = len(lines) - _SHOWN_MAX
    return "\n".join([*lines[:_SHOWN_MAX], *([f"-# … and {more} more."] if more > 0 else [])])


def undelivered_view(results: Sequence[Undelivered]) -> discord.ui.View:
    """Return a button for each of the results that :func:`undelivered_text` names."""
    view = SafeView(timeout=None)
    shown = results[:_SHOWN_MAX]
    for number, result in enumerate(shown, 1):
        view.add_item(ShowButton(result.job_id, "Show it" if len(shown) == 1 else f"Show {number}"))
    return view


def _next(result: Undelivered) -> str:
    return f" I try again <t:{result.due_at}:R>." if result.due_at is not None else " The button shows it to you."
