"""The progress card: a message that shows the newest state of a job."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from io import BytesIO
from typing import Any, Protocol

import discord
import structlog

from bot.inert import inert, utf16_length
from bot.jobs.admission import Quote
from bot.jobs.delivery import Undeliverable
from bot.jobs.job import Job, JobProgress, JobRequest, Kind
from bot.media.previews import preview_sheet
from bot.plurals import counted
from bot.requests.pricing import credits_text, format_credits
from bot.views.buttons import progress_view
from bot.views.card_messages import NOT_SENT, CardMessage
from bot.views.discord_requests import EXPIRED_STATUSES, reason_of, with_retry
from bot.views.drafts import job_request_view
from bot.views.progress_lines import card_line, time_to_show
from bot.views.text import MESSAGE_LIMIT, duration, made_from

log = structlog.get_logger(__name__)

_PREVIEW_ALT_TEXT = "What the picture looks like so far"
_PROMPT_SHOWN = 300
_QUEUED_FACTOR = 3
_OVERDUE_SECONDS = 1.0
_PROMPT_ASKED = 1500
"""How many characters of a prompt a question repeats."""


def card_text(job: Job, progress: JobProgress) -> str:
    """Return the card's text: the prompt, the link to an edit's original, notes, and a line about the state."""
    request = job.request
    defaults = f"\n-# {request.defaults}" if request.defaults else ""
    notes = f"\n-# {request.notes}" if request.notes else ""
    opening = opening_text(request.spec.prompt, request.original_link, request.kind, request.spec.strength)
    return f"{opening}{defaults}{notes}\n{card_line(job, progress)}"


def opening_text(prompt: str, original_link: str | None, kind: Kind = "edit", strength: float = 1.0) -> str:
    """Return the first lines of a card: the prompt, and the link to an edit's original."""
    origin = f"\n-# {made_from(original_link, kind, strength)}" if original_link else ""
    return inert(prompt, _PROMPT_SHOWN) + origin


def closing_text(prompt: str, original_link: str | None, sentence: str) -> str:
    """Return what a card says instead of a result: as much of the prompt as fits, to ask again, and the sentence."""
    rest = f"\n-# {made_from(original_link)}\n{sentence}" if original_link else f"\n{sentence}"
    return inert(prompt, MESSAGE_LIMIT - utf16_length(rest)) + rest


def cancelled_text(prompt: str, original_link: str | None, note: str, charged: int) -> str:
    """Return what a member is told of a cancelled job: the note, as much of the prompt as fits, and the cost."""
    origin = f"\n-# {made_from(original_link)}" if original_link else ""
    before, after = f"{note.rstrip('.')}: ", f". {cost_text(charged)}{origin}"
    return before + inert(prompt, MESSAGE_LIMIT - utf16_length(before) - utf16_length(after)) + after


def cost_text(charged: int) -> str:
    """Return what a cancelled job cost, given in 1/100 credit."""
    return f"{credits_text(charged)} for the part already done." if charged else "Nothing was charged."


def price_text(request: JobRequest, quote: Quote, seconds: float, *, names_model: bool) -> str:
    """Return the question before a costly job: what is generated, its price, what is left, and how long it takes.

    It ``names_model`` if the bot has several. The small print names the member's own settings in it, and what has no
    meaning in the prompt.
    """
    spec = request.spec
    pictures = counted(request.count, "picture")
    left = f"; you have {format_credits(quote.left)}" if quote.left is not None else ""
    model = f", {spec.model}" if names_model else ""
    question = f"Generate {pictures} ({spec.width}×{spec.height}, {counted(spec.steps, 'step')}{model}) of"
    price = f"{credits_text(quote.credits)}{left}. {duration(seconds).capitalize()} once it starts."
    small_print = "".join(f"\n-# {line}" for line in (request.defaults, request.notes) if line)
    return f"{question} {inert(spec.prompt, _PROMPT_ASKED)}? {price}{small_print}"


class SendInstead(Protocol):
    """Sends a text to a job's owner whose card is gone."""

    async def __call__(self, job: Job, text: str, *, directly: bool) -> None:
        """Send it in the job's channel or, if that fails or ``directly``, as a direct message.

        Raises :class:`Undeliverable` and :class:`Outage`.
        """
        ...


class ProgressCard:
    """Edits its message to the newest state, at most once in ``interval`` seconds; a ``restored`` one at once.

    While the job stays in the queue, that is once in three times as long. ``shown`` is the text of the message.
    """

    def __init__(
        self,
        job: Job,
        card_message: CardMessage,
        interval: float,
        send_instead: SendInstead,
        *,
        restored: bool = False,
        shown: str | None = None,
    ) -> None:
        self._job = job
        self._card_message = card_message
        self._interval = interval
        self._send_instead = send_instead
        self._newest: JobProgress | None = None
        self._shown = shown
        self._shown_progress: JobProgress | None = None
        self._edited_at = float("-inf") if restored else time.perf_counter()
        self._timer: asyncio.TimerHandle | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._editing: asyncio.Task[None] | None = None
        self._over = False

    @property
    def message_id(self) -> int | None:
        return self._card_message.message_id

    def show(self, progress: JobProgress) -> None:
        """Show this state with the next edit, unless a newer one comes before."""
        self._newest = progress
        if self._over or self._editing is not None:
            return
        wait = self._edited_at + self._pause_before(progress) - time.perf_counter()
        if wait <= 0:
            self._start_edit()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._start_edit)

    def _pause_before(self, progress: JobProgress) -> float:
        """Return the least seconds between the last edit and one to this state."""
        shown = self._shown_progress
        still_queued = shown is not None and shown.state == progress.state == "queued"
        return self._interval * (_QUEUED_FACTOR if still_queued else 1)

    async def flush(self) -> None:
        """Show the newest state at once, wait until that is done, and make no more edits."""
        await self.stop()
        await self._edit_newest()

    async def show_delay(self, sentence: str) -> None:
        await self._replace(self._text(sentence))

    async def remove(self) -> None:
        await self.stop()
        try:
            await with_retry(self._card_message.delete, EXPIRED_STATUSES)
        except Undeliverable as error:
            log.info("card_not_removed", job=self._job.id, reason=reason_of(error))

    async def tell(self, sentence: str) -> None:
        await self.stop()
        text = self._text(sentence)
        try:
            await self._replace(text, job_request_view(self._job.id))
        except Undeliverable:
            await self._send_instead(self._job, text, directly=False)

    async def tell_cancelled(self, note: str, charged: int, *, known: bool) -> None:
        await self.stop()
        request = self._job.request
        text = cancelled_text(request.spec.prompt, request.original_link, note, charged)
        try:
            await self._replace(text, job_request_view(self._job.id))
        except Undeliverable as error:
            log.info("cancelled_not_told", job=self._job.id, reason=reason_of(error))
            if not known:
                await self._send_instead(self._job, text, directly=True)

    def _text(self, sentence: str) -> str:
        request = self._job.request
        return closing_text(request.spec.prompt, request.original_link, sentence)

    async def _replace(self, text: str, view: discord.ui.View | None = None) -> None:
        """Make the card show a text and these buttons, without previews."""
        await with_retry(lambda: self._card_message.edit(content=text, view=view, attachments=[]), EXPIRED_STATUSES)

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
                await self._edit(newest)
        finally:
            self._editing = None
        if self._newest is not None:
            self.show(self._newest)

    async def _edit(self, progress: JobProgress) -> None:
        shown_at = self._shown_progress.ready_at if self._shown_progress is not None else None
        progress = replace(progress, ready_at=time_to_show(shown_at, progress.ready_at, time.time()))
        text = card_text(self._job, progress)
        if text == self._shown:
            return
        changes: dict[str, Any] = {}
        if progress.previews:
            sheet = await asyncio.to_thread(preview_sheet, progress.previews)
            hidden = self._job.request.spoiler
            changes["attachments"] = [
                discord.File(BytesIO(sheet), "preview.webp", description=_PREVIEW_ALT_TEXT, spoiler=hidden)
            ]
        view = progress_view(self._job.id) if progress.state != "cancelling" else None
        try:
            await self._card_message.edit(content=text, view=view, **changes)
            self._shown, self._shown_progress = text, progress
            self._drop_time_later(progress.ready_at)
        except (*NOT_SENT, Undeliverable) as error:
            # The picture comes whether or not its progress can be shown.
            log.info("progress_not_shown", job=self._job.id, reason=reason_of(error))
        finally:
            self._edited_at = time.perf_counter()

    def _drop_time_later(self, ready_at: float | None) -> None:
        """Edit the card again when the expected time has passed: Discord would show it as "10 seconds ago"."""
        if self._overdue is not None:
            self._overdue.cancel()
        self._overdue = None
        if ready_at is not None and not self._over:
            seconds = max(0.0, ready_at - time.time()) + _OVERDUE_SECONDS
            self._overdue = asyncio.get_running_loop().call_later(seconds, self._drop_time)

    def _drop_time(self) -> None:
        if self._newest is None and self._shown_progress is not None:
            self.show(replace(self._shown_progress, ready_at=None))

    async def stop(self) -> None:
        """Make no more edits, and wait for one that is being made."""
        self._over = True
        self._drop_timer()
        self._drop_time_later(None)
        if self._editing is not None:
            await asyncio.wait([self._editing])
