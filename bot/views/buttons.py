"""The button under a progress card."""

from __future__ import annotations

from typing import Any

import discord

from bot.errors import Refusal
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.errors import answer
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
        jobs = parts_of(interaction).jobs
        request = jobs.request_of(self.job_id)
        # Moderators of the job's own server only: the id in a custom_id can be forged.
        here = request is not None and request.guild_id is not None and request.guild_id == interaction.guild_id
        moderator = here and interaction.permissions.manage_messages
        if request is not None and interaction.user.id != request.owner_id and not moderator:
            raise Refusal("Only the member who asked for this picture, or a moderator, can cancel it.")
        waiting = jobs.is_waiting(self.job_id)
        await jobs.cancel(self.job_id)
        await answer(interaction, "Cancelling …" if waiting else "Cancelling: it stops after the step that is running.")


def progress_view(job_id: int) -> discord.ui.View:
    """Return the view with the button."""
    view = SafeView(timeout=None)
    view.add_item(CancelButton(job_id))
    return view
