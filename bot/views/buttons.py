"""The buttons that survive a restart. Each ``custom_id`` names all it needs: ``zib:<what>:<id>``."""

from __future__ import annotations

from typing import Any

import discord

from bot.errors import Refusal
from bot.jobs.service import JobService
from bot.views.audit import AuditPages
from bot.views.base import SafeDynamicItem, SafeView
from bot.views.errors import answer
from bot.views.moderation import RULE_PAGES
from bot.views.privacy import PrivacyButton
from bot.views.questions import AnswerButton
from bot.views.quota import LimitPages
from bot.views.results import RESULT_ITEMS


class CancelButton(SafeDynamicItem[discord.ui.Button[Any]], template=r"zib:cancel:(?P<job>\d{1,18})\Z"):
    """Stops a job; for its owner and for moderators."""

    def __init__(self, job_id: int | str) -> None:
        self.job_id = int(job_id)
        button: discord.ui.Button[Any] = discord.ui.Button(
            label="Cancel", style=discord.ButtonStyle.secondary, custom_id=f"zib:cancel:{job_id}"
        )
        super().__init__(button)

    async def press(self, interaction: discord.Interaction[Any]) -> None:
        jobs: JobService = interaction.client.jobs
        request = jobs.request_of(self.job_id)
        # A moderator of the job's own server: the id may have been made up.
        here = request is not None and request.guild_id is not None and request.guild_id == interaction.guild_id
        moderator = here and interaction.permissions.manage_messages
        if request is not None and interaction.user.id != request.owner_id and not moderator:
            raise Refusal("Only the member who asked for this picture, or a moderator, can cancel it.")
        jobs.cancel(self.job_id)
        await answer(interaction, "Cancelling: it stops after the step that is running.")


DYNAMIC_ITEMS: tuple[type[SafeDynamicItem[Any]], ...] = (
    CancelButton,
    AnswerButton,
    PrivacyButton,
    AuditPages,
    LimitPages,
    *RULE_PAGES,
    *RESULT_ITEMS,
)
"""Every template the client listens for. No custom_id may match two of them."""


def progress_view(job_id: int) -> discord.ui.View:
    """The one button under a progress card."""
    view = SafeView(timeout=None)
    view.add_item(CancelButton(job_id))
    return view
