"""From an interaction to a job under way: the one door that every command goes through."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import discord
import structlog

from bot.jobs.flags import read_flags
from bot.jobs.job import Job, Order
from bot.jobs.service import JobService
from bot.jobs.spec import Wishes, settle
from bot.store.jobs import ReplyToken
from bot.views.buttons import progress_view
from bot.views.progress import ProgressCard, card_text
from zimage_engine.profiles import ModelProfile

log = structlog.get_logger(__name__)

_TOKEN_SECONDS = 15 * 60
_SAFETY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Desk:
    """What taking orders needs: the jobs, what the model can do, and the operator's bounds."""

    jobs: JobService
    profile: ModelProfile
    max_count: int
    progress_interval: float

    async def take(self, interaction: discord.Interaction[Any], wishes: Wishes, *, private: bool) -> None:
        """Check the wishes, reserve, answer with the progress card, and set the job going.

        Everything that can be refused is refused before the first answer, so that refusals are private.
        """
        spec, count = settle(read_flags(wishes), self.profile, max_count=self.max_count)
        order = Order(
            source_id=interaction.id,
            spec=spec,
            count=count,
            owner_id=interaction.user.id,
            scope_id=interaction.guild_id or 0,
            guild_id=interaction.guild_id,
            channel_id=interaction.channel_id or 0,
            visibility="private" if private else "public",
            reply=ReplyToken(
                interaction.application_id, interaction.token, int(time.time()) + _TOKEN_SECONDS - _SAFETY_SECONDS
            ),
            response_file_limit=interaction.filesize_limit,
        )
        job = await self.jobs.submit(order)
        if job is not None:
            await self._show_card(interaction, job)

    async def _show_card(self, interaction: discord.Interaction[Any], job: Job) -> None:
        try:
            shown = await interaction.response.send_message(
                card_text(job, self.jobs.opening()), view=progress_view(job.id), ephemeral=job.private
            )
            message_id = shown.message_id or (await interaction.original_response()).id
        except discord.HTTPException as error:
            # Discord did not take the answer (10062: it came too late), so the member saw a failure.
            log.warning("card_not_shown", job=job.id, code=error.code, status=error.status)
            await self.jobs.abandon(job, "not_acknowledged")
            return
        except BaseException:
            await self.jobs.abandon(job, "not_acknowledged")
            raise
        card = ProgressCard(job, interaction.followup, message_id, self.progress_interval)
        self.jobs.begin(job, card, message_id)
