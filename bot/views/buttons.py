"""The button under a progress card."""

from __future__ import annotations

from typing import Any

import discord

from bot.views.base import SafeDynamicItem, SafeView
from bot.views.parts import parts_of


class CancelButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:cancel:(?P<job>\d{1,18})\Z"):
    """Cancels a job, for its owner and for moderators."""

    def __init__(self, job_id: int | str) -> None:
        self.job_id = int(job_id)
        button: discord.ui.Button[Any] = discord.ui.Button(
            label="Cancel", style=discord.ButtonStyle.secondary, custom_id=f"zib:cancel:{job_id}"
        )
        super().__init__(button)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        await parts_of(interaction).queue.on_cancel(interaction, self.job_id)


def progress_view(job_id: int) -> discord.ui.View:
    """Return the view with the button."""
    view = SafeView(timeout=None)
    view.add_item(CancelButton(job_id))
    return view
