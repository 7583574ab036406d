"""``/queue`` and ``/cancel``, the buttons that cancel jobs, and the listener for progress cards that are deleted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any

import discord
from discord.ext import commands

from bot.commands.admin.context import AdminContext, has_audit
from bot.commands.invocation import InteractionInvocation
from bot.commands.parts import BotParts
from bot.commands.picture_access import PictureAccess
from bot.errors import Refusal
from bot.inert import inert
from bot.jobs.active import ActiveJob
from bot.jobs.cancellation import Note
from bot.jobs.job import JobRequest
from bot.jobs.service import JobService
from bot.moderation.access import Verdict
from bot.plurals import counted
from bot.store.audit import Change
from bot.store.job_rows import JobRow, credits_charged
from bot.throttle import DOUBLE_CLICK_SECONDS, Throttle
from bot.views.drafts import job_request_view
from bot.views.private_messages import check_private, edit_private
from bot.views.progress import cancelled_text, cost_text
from bot.views.queue import QUEUE_ITEMS, QueueEntry, QueueList, Whose

_WAIT_SECONDS = 10.0
"""How long an answer waits for a cancelled job to end, to say what it cost."""
_PROMPT_SHOWN = 300
_NOT_A_MODERATOR = "Only moderators see everybody's requests: you need Manage Messages here."


class QueueActions:
    """Lists and cancels jobs, for members and for moderators."""

    def __init__(self, jobs: JobService, admin: AdminContext, access: PictureAccess) -> None:
        self._jobs = jobs
        self._access = access
        self._admin = admin
        self._clicks: Throttle[tuple[int, int]] = Throttle(DOUBLE_CLICK_SECONDS)

    async def show(self, interaction: discord.Interaction[Any], page: int = 0, notice: str = "") -> None:
        """Answer a command with the member's own requests: a page, or the last one if there are fewer."""
        queue = await self._list(interaction, "mine", page, notice)
        await interaction.response.send_message(queue.text(), view=queue.view(), ephemeral=True, suppress_embeds=True)

    async def cancel_newest(self, interaction: discord.Interaction[Any]) -> None:
        """Cancel the member's only request. If there are several, show the page with the newest to choose from."""
        mine = [entry for entry in await self._entries(interaction, "mine") if entry.can_be_cancelled]
        if len(mine) != 1:
            await self.show(interaction, page=len(mine), notice="Which one? Choose it below." if mine else "")
            return
        job_id = mine[0].job.id
        await interaction.response.defer(ephemeral=True)
        text = await self._cancel_several(interaction, [job_id])
        view = job_request_view(job_id)
        await interaction.followup.send(text, view=view, ephemeral=True, suppress_embeds=True)

    async def on_page(self, interaction: discord.Interaction[Any], whose: Whose, page: int) -> None:
        """Show a page in place of the one that has the button."""
        queue = await self._list(interaction, whose, page)
        await edit_private(interaction, content=queue.text(), view=queue.view(), suppress_embeds=True)

    async def on_choice(
        self, interaction: discord.Interaction[Any], whose: Whose, page: int, job_ids: Sequence[int]
    ) -> None:
        """Cancel what was chosen, then show in the same message what came of it and what is left."""
        if whose == "all":
            _check_moderator(interaction)
        check_private(interaction)
        await interaction.response.defer()
        notice = await self._cancel_several(interaction, job_ids) if job_ids else ""
        queue = await self._list(interaction, whose, page, notice)
        await interaction.edit_original_response(content=queue.text(), view=queue.view())

    async def on_cancel_all(self, interaction: discord.Interaction[Any]) -> None:
        """Cancel all requests of the member, wherever they are."""
        mine = [entry.job.id for entry in await self._entries(interaction, "mine") if entry.can_be_cancelled]
        await self.on_choice(interaction, "mine", 0, mine)

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
        row = await self._jobs.cancellation.wait_until_ended(active, _WAIT_SECONDS)
        if row is not None and row.state == "cancelled" and row.note:
            text = self._outcome(interaction, active, row)
            await interaction.edit_original_response(content=text, view=job_request_view(job_id), attachments=[])

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        await self._jobs.cancellation.messages_deleted([event.message_id])

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        await self._jobs.cancellation.messages_deleted(event.message_ids)

    async def _list(
        self, interaction: discord.Interaction[Any], whose: Whose, page: int, notice: str = ""
    ) -> QueueList:
        """Return the requests to show. Raises :class:`Refusal` if the member may not see everybody's."""
        if whose == "all":
            _check_moderator(interaction)
        undelivered = await self._jobs.undelivered.of(interaction.user.id) if whose == "mine" else ()
        entries = await self._entries(interaction, whose)
        return QueueList(whose, entries, page, _is_moderator(interaction), undelivered, notice)

    async def _entries(self, interaction: discord.Interaction[Any], whose: Whose) -> list[QueueEntry]:
        """Return the requests of the member, or those of this server that they moderate, the oldest first."""
        invocation, found = InteractionInvocation(interaction), list[QueueEntry]()
        for _, active in sorted(self._jobs.active.items()):
            request = active.job.request
            own, here = request.owner_id == interaction.user.id, request.guild_id == interaction.guild_id
            if own if whose == "mine" else here and await self._access.may_cancel(invocation, request):
                prompt = _visible_prompt(interaction, request)
                found.append(QueueEntry(active.job, self._jobs.progress_of(active), prompt))
        return found

    async def _cancel(self, interaction: discord.Interaction[Any], job_id: int) -> ActiveJob:
        """Cancel a job for its owner, or for a moderator, which is audited. Raises :class:`Refusal` for others."""
        request = self._jobs.request_of(job_id)
        if request is None or interaction.user.id == request.owner_id:
            return await self._jobs.cancellation.cancel(job_id)
        if not await self._access.may_cancel(InteractionInvocation(interaction), request):
            raise Refusal(Verdict.NOT_THEIRS_TO_CANCEL.value)
        before = "waiting" if self._jobs.is_waiting(job_id) else "being generated"
        change = Change("cancel", f"<@{request.owner_id}>", before, "cancelled", request.owner_id)

        async def write(note: Note) -> None:
            def make(connection: sqlite3.Connection) -> Change:
                note(connection)
                return change

            await self._admin.change(interaction, make)

        return await self._jobs.cancellation.cancel(job_id, "moderator", write if has_audit(interaction) else None)

    async def _cancel_several(self, interaction: discord.Interaction[Any], job_ids: Sequence[int]) -> str:
        """Cancel jobs and wait some seconds until they have ended. Returns what came of it."""
        cancelled: list[ActiveJob] = []
        refusals: list[Refusal] = []
        for job_id in job_ids:
            try:
                cancelled.append(await self._cancel(interaction, job_id))
            except Refusal as refusal:
                refusals.append(refusal)
        wait = self._jobs.cancellation.wait_until_ended
        rows = await asyncio.gather(*(wait(active, _WAIT_SECONDS) for active in cancelled))
        if len(job_ids) == 1:
            return str(refusals[0]) if refusals else self._outcome(interaction, cancelled[0], rows[0])
        requests = counted(len(cancelled), "request")
        late = f" {len(refusals)} had finished already." if refusals else ""
        return f"Cancelled {requests}. {cost_text(sum(credits_charged(row) for row in rows if row is not None))}{late}"

    def _outcome(self, interaction: discord.Interaction[Any], active: ActiveJob, row: JobRow | None) -> str:
        """Return what became of a job that was cancelled; ``row`` is None if it has not ended yet."""
        request = active.job.request
        prompt = _visible_prompt(interaction, request)
        named = inert(prompt, _PROMPT_SHOWN) if prompt is not None else "a private request"
        if row is None:
            return f"Cancelling {named}: it stops after the step that is running."
        if row.state != "cancelled":
            return f"Stopped {named}. What was finished of it is posted."
        if prompt is None or not row.note:
            return f"Cancelled {named}. {cost_text(credits_charged(row))}"
        return cancelled_text(prompt, request.original_link, row.note, credits_charged(row))


def _is_moderator(interaction: discord.Interaction[Any]) -> bool:
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def _check_moderator(interaction: discord.Interaction[Any]) -> None:
    if not _is_moderator(interaction):
        raise Refusal(_NOT_A_MODERATOR)


def _visible_prompt(interaction: discord.Interaction[Any], request: JobRequest) -> str | None:
    """Return a job's prompt, None if it is another member's private one."""
    if request.visibility == "private" and request.owner_id != interaction.user.id:
        return None
    return request.spec.prompt


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/queue``, ``/cancel`` and their buttons, and listen to deleted messages: one may be a progress card."""
    actions = parts.queue

    @bot.tree.command(name="queue", description="Your requests: how far they are, when they are ready, and cancelling")
    async def queue(interaction: discord.Interaction[Any]) -> None:
        await actions.show(interaction)

    @bot.tree.command(name="cancel", description="Cancel your request; of several, choose which")
    async def cancel(interaction: discord.Interaction[Any]) -> None:
        await actions.cancel_newest(interaction)

    bot.add_dynamic_items(*QUEUE_ITEMS)
    bot.add_listener(actions.on_raw_message_delete)
    bot.add_listener(actions.on_raw_bulk_message_delete)
