"""The queue: cancels jobs by their cards' buttons, and when somebody deletes a card in Discord."""

from __future__ import annotations

from typing import Any

import discord
from discord.ext import commands

from bot.commands.admin.context import AdminContext
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.jobs.active import ActiveJob
from bot.jobs.completion import credits_charged
from bot.jobs.job import JobRequest
from bot.jobs.service import JobService
from bot.store.audit import Change
from bot.throttle import Throttle
from bot.views.drafts import job_request_view
from bot.views.progress import cancelled_text

_ONCE_SECONDS = 3.0
_WAIT_SECONDS = 10.0
"""How long an answer waits for a cancelled job to end, to say what it cost."""


class QueueActions:
    """Cancels jobs for members and moderators."""

    def __init__(self, jobs: JobService, admin: AdminContext) -> None:
        self._jobs = jobs
        self._admin = admin
        self._clicks: Throttle[tuple[int, int]] = Throttle(_ONCE_SECONDS)

    async def on_cancel(self, interaction: discord.Interaction[Any], job_id: int) -> None:
        """Handle the button under a card: the card itself then shows what became of the job."""
        if not self._clicks.take((interaction.user.id, job_id)):
            await interaction.response.defer()
            return
        active = await self._cancel(interaction, job_id)
        await interaction.response.defer()
        message = interaction.message
        if message is None or not message.flags.ephemeral:
            return
        # A private card cannot be edited any more once its own interaction has expired; this one can edit it.
        text = await self._outcome(active)
        if text is not None:
            await interaction.edit_original_response(content=text, view=job_request_view(job_id), attachments=[])

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        await self._jobs.cancellation.messages_deleted([event.message_id])

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        await self._jobs.cancellation.messages_deleted(event.message_ids)

    async def _cancel(self, interaction: discord.Interaction[Any], job_id: int) -> ActiveJob:
        """Cancel a job for its owner, or for a moderator, which is audited. Raises :class:`Refusal` for others."""
        request = self._jobs.request_of(job_id)
        if request is None or interaction.user.id == request.owner_id:
            return await self._jobs.cancel(job_id)
        if not moderates(interaction, request):
            raise Refusal("Only the member who asked for this picture, or a moderator, can cancel it.")
        before = "waiting" if self._jobs.is_waiting(job_id) else "being generated"
        active = await self._jobs.cancel(job_id, "moderator")
        if interaction.is_guild_integration() or not interaction.is_user_integration():
            change = Change("cancel", f"<@{request.owner_id}>", before, "cancelled", request.owner_id)
            await self._admin.change(interaction, lambda _: change)
        return active

    async def _outcome(self, active: ActiveJob) -> str | None:
        """Return what a cancelled job came to; None if it has not ended in time, or if its result is posted."""
        row = await self._jobs.cancellation.wait_until_ended(active, _WAIT_SECONDS)
        if row is None or row.state != "cancelled" or not row.note:
            return None
        request = active.job.request
        return cancelled_text(request.spec.prompt, request.original_link, row.note, credits_charged(row))


def moderates(interaction: discord.Interaction[Any], request: JobRequest) -> bool:
    """Return whether the member may manage messages where a job was asked for.

    A job in another server than the interaction's is not theirs, whatever the id in a ``custom_id`` says.
    """
    guild, member = interaction.guild, interaction.user
    if request.guild_id is None or request.guild_id != interaction.guild_id:
        return False
    if request.channel_id == interaction.channel_id:
        return interaction.permissions.manage_messages
    if guild is None or not isinstance(member, discord.Member):
        return False
    channel = guild.get_channel_or_thread(request.channel_id)
    permissions = channel.permissions_for(member) if channel is not None else member.guild_permissions
    return permissions.manage_messages


def add_to(bot: commands.Bot, parts: BotParts) -> None:
    """Listen to deleted messages: one of them may be a progress card."""
    bot.add_listener(parts.queue.on_raw_message_delete)
    bot.add_listener(parts.queue.on_raw_bulk_message_delete)
