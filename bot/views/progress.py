"""The progress card: one message that shows only the newest state of a job."""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from typing import Any

import aiohttp
import discord
import structlog

from bot.jobs.job import Job, JobProgress
from bot.media.previews import preview_sheet
from bot.views.buttons import progress_view
from bot.views.text import duration, inert
from zimage_engine.types import RawImage

log = structlog.get_logger(__name__)

_NOT_SENT = (discord.HTTPException, aiohttp.ClientError, OSError)
_BAR = 12
_PREVIEW_SAYS = "What the picture looks like so far"
_PROMPT_SHOWN = 300


def card_text(job: Job, progress: JobProgress) -> str:
    """The card's text: the prompt, and one line of what is going on."""
    return f"{inert(job.order.spec.prompt, _PROMPT_SHOWN)}\n{_state_line(job, progress)}"


def _state_line(job: Job, progress: JobProgress) -> str:
    many = job.order.count > 1
    match progress.state:
        case "loading":
            return "Waiting for the model to load …"
        case "queued":
            ahead = f"{progress.position} before you" if progress.position else "you are next"
            wait = f", ready in {duration(progress.eta)}" if progress.eta is not None else ""
            return f"In the queue: {ahead}{wait}."
        case "running":
            share = progress.steps_done / max(1, progress.steps_total)
            filled = round(share * _BAR)
            images = f", image {min(progress.images_done + 1, job.order.count)} of {job.order.count}" if many else ""
            return f"`{'█' * filled}{'░' * (_BAR - filled)}` {share:.0%}{images}"


class ProgressCard:
    """Edits the interaction's own response; the newest state wins, edits are ``interval`` seconds apart at least."""

    def __init__(self, job: Job, webhook: discord.Webhook, message_id: int, interval: float) -> None:
        self._job = job
        self._webhook = webhook
        self._message_id = message_id
        self._interval = interval
        self._newest: JobProgress | None = None
        self._shown: str | None = None
        self._edited_at = time.perf_counter()
        self._timer: asyncio.TimerHandle | None = None
        self._editing: asyncio.Task[None] | None = None
        self._over = False

    def show(self, progress: JobProgress) -> None:
        """Remember the state and have it shown soon; never waits."""
        self._newest = progress
        if self._over or self._editing is not None:
            return
        wait = self._edited_at + self._interval - time.perf_counter()
        if wait <= 0:
            self._start_edit()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._start_edit)

    async def remove(self) -> None:
        try:
            await self._webhook.delete_message(self._message_id)
        except _NOT_SENT as error:
            log.info("progress_not_removed", job=self._job.id, reason=str(error))

    async def refuse(self, sentence: str) -> None:
        """Tell the owner alone, and take the card away; where that fails, the card itself says it."""
        await self.stop()
        if not self._job.private:
            try:
                await self._webhook.send(sentence, ephemeral=True)
            except _NOT_SENT as error:
                log.info("refusal_not_private", job=self._job.id, reason=str(error))
            else:
                await self.remove()
                return
        try:
            await self._webhook.edit_message(self._message_id, content=sentence, view=None, attachments=[])
        except _NOT_SENT as error:
            log.warning("refusal_not_shown", job=self._job.id, reason=str(error))

    def _start_edit(self) -> None:
        self._drop_timer()
        self._editing = asyncio.create_task(self._edit_newest(), name=f"progress-{self._job.id}")

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _edit_newest(self) -> None:
        newest, self._newest = self._newest, None
        try:
            if newest is not None:
                await self._edit(card_text(self._job, newest), newest.previews)
        finally:
            self._editing = None
        if self._newest is not None:
            self.show(self._newest)

    async def _edit(self, text: str, previews: tuple[RawImage, ...]) -> None:
        if text == self._shown:
            return
        changes: dict[str, Any] = {}
        if previews:
            sheet = await asyncio.to_thread(preview_sheet, previews)
            changes["attachments"] = [discord.File(BytesIO(sheet), "preview.webp", description=_PREVIEW_SAYS)]
        try:
            await self._webhook.edit_message(
                self._message_id, content=text, view=progress_view(self._job.id), **changes
            )
            self._shown = text
        except _NOT_SENT as error:
            # The card is a courtesy: the picture comes whether or not its progress can be shown.
            log.info("progress_not_shown", job=self._job.id, reason=str(error))
        finally:
            self._edited_at = time.perf_counter()

    async def stop(self) -> None:
        """No edit may come after the last word, so the one under way is finished first."""
        self._over = True
        self._drop_timer()
        if self._editing is not None:
            await asyncio.wait([self._editing])
