"""The progress card: a message that shows the newest state of a job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import discord
import structlog

from bot.jobs.admission import Quote
from bot.jobs.delivery import Undeliverable
from bot.jobs.job import Job, JobProgress, JobRequest, Kind
from bot.media.previews import preview_sheet
from bot.requests.pricing import credits_text, format_credits
from bot.views.buttons import progress_view
from bot.views.card_messages import NOT_SENT, CardMessage
from bot.views.discord_requests import EXPIRED_STATUSES, with_retry
from bot.views.drafts import job_request_view
from bot.views.text import MESSAGE_LIMIT, duration, inert, made_from

log = structlog.get_logger(__name__)

_BAR = 12
_PREVIEW_ALT_TEXT = "What the picture looks like so far"
_PROMPT_SHOWN = 300
_PROMPT_ASKED = 1500
"""How many characters of a prompt a question repeats."""


def card_text(job: Job, progress: JobProgress) -> str:
    """Return the card's text: the prompt, the link to an edit's original, notes, and a line about the state."""
    request = job.request
    defaults = f"\n-# {request.defaults}" if request.defaults else ""
    notes = f"\n-# {request.notes}" if request.notes else ""
    opening = opening_text(request.spec.prompt, request.original_link, request.kind, request.spec.strength)
    return f"{opening}{defaults}{notes}\n{_state_line(job, progress)}"


def opening_text(prompt: str, original_link: str | None, kind: Kind = "edit", strength: float = 1.0) -> str:
    """Return the first lines of a card: the prompt, and the link to an edit's original."""
    origin = f"\n-# {made_from(original_link, kind, strength)}" if original_link else ""
    return inert(prompt, _PROMPT_SHOWN) + origin


def closing_text(prompt: str, original_link: str | None, sentence: str) -> str:
    """Return what a card says instead of a result: as much of the prompt as fits, to ask again, and the sentence."""
    rest = f"\n-# {made_from(original_link)}\n{sentence}" if original_link else f"\n{sentence}"
    return inert(prompt, MESSAGE_LIMIT - len(rest)) + rest


def cancelled_text(prompt: str, original_link: str | None, note: str, charged: int) -> str:
    """Return what a member is told of a cancelled job: the note, as much of the prompt as fits, and the cost."""
    origin = f"\n-# {made_from(original_link)}" if original_link else ""
    cost = f"{credits_text(charged)} for the part already done." if charged else "Nothing was charged."
    before, after = f"{note.rstrip('.')}: ", f". {cost}{origin}"
    return before + inert(prompt, MESSAGE_LIMIT - len(before) - len(after)) + after


def price_text(request: JobRequest, quote: Quote, seconds: float) -> str:
    """Return the question before a costly job: what is generated, its price, what is left, and how long it takes.

    The small print names the member's own settings in it, and what has no meaning in the prompt.
    """
    spec = request.spec
    pictures = f"{request.count} picture{'' if request.count == 1 else 's'}"
    left = f"; you have {format_credits(quote.left)}" if quote.left is not None else ""
    question = f"Generate {pictures} ({spec.width}×{spec.height}, {spec.steps} steps) of"
    price = f"{credits_text(quote.credits)}{left}. {duration(seconds).capitalize()} once it starts."
    small_print = "".join(f"\n-# {line}" for line in (request.defaults, request.notes) if line)
    return f"{question} {inert(spec.prompt, _PROMPT_ASKED)}? {price}{small_print}"


_RESTARTED = "I restarted; your request is back in the queue."
_KEPT = "I'm restarting. Your request is saved and starts when I'm back."


def _state_line(job: Job, progress: JobProgress) -> str:
    line = _now_line(job, progress)
    return f"{_RESTARTED}\n{line}" if progress.restarted and progress.state not in ("running", "kept") else line


def _now_line(job: Job, progress: JobProgress) -> str:
    match progress.state:
        case "held":
            return f"Waiting for your other pictures: {job.concurrent_jobs} of your commands may be drawn at a time."
        case "paused":
            return "Paused for now: it stays in line, and goes on by itself."
        case "kept":
            return _KEPT
        case "waiting":
            return "In the queue."
        case "loading":
            return "Waiting for the model to load …"
        case "cancelling":
            return "Cancelling: it stops after the step that is running."
        case "queued":
            ahead = f"{progress.position} before you" if progress.position else "you are next"
            wait = f", ready in {duration(progress.eta)}" if progress.eta is not None else ""
            return f"In the queue: {ahead}{wait}."
        case "running":
            return _bar(job, progress)


def _bar(job: Job, progress: JobProgress) -> str:
    share = progress.steps_done / max(1, progress.steps_total)
    filled = round(share * _BAR)
    count = job.request.count
    images = f", image {min(progress.images_done + 1, count)} of {count}" if count > 1 else ""
    return f"`{'█' * filled}{'░' * (_BAR - filled)}` {share:.0%}{images}"


SendInstead = Callable[[Job, str], Awaitable[None]]
"""Sends a text to a job's owner whose card is gone. Raises :class:`Undeliverable` and :class:`Outage`."""


class ProgressCard:
    """Edits its message to the newest state, at most once in ``interval`` seconds; a ``restored`` one at once."""

    def __init__(
        self,
        job: Job,
        card_message: CardMessage,
        interval: float,
        send_instead: SendInstead,
        *,
        restored: bool = False,
    ) -> None:
        self._job = job
        self._card_message = card_message
        self._interval = interval
        self._send_instead = send_instead
        self._newest: JobProgress | None = None
        self._shown: str | None = None
        self._edited_at = float("-inf") if restored else time.perf_counter()
        self._timer: asyncio.TimerHandle | None = None
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
        wait = self._edited_at + self._interval - time.perf_counter()
        if wait <= 0:
            self._start_edit()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._start_edit)

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
            log.info("card_not_removed", job=self._job.id, reason=str(error))

    async def tell(self, sentence: str) -> None:
        await self.stop()
        text = self._text(sentence)
        try:
            await self._replace(text, job_request_view(self._job.id))
        except Undeliverable:
            await self._send_instead(self._job, text)

    async def tell_cancelled(self, note: str, charged: int) -> None:
        await self.stop()
        request = self._job.request
        try:
            text = cancelled_text(request.spec.prompt, request.original_link, note, charged)
            await self._replace(text, job_request_view(self._job.id))
        except Undeliverable as error:
            log.info("cancelled_not_told", job=self._job.id, reason=str(error))

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
            self._shown = text
        except (*NOT_SENT, Undeliverable) as error:
            # The picture comes whether or not its progress can be shown.
            log.info("progress_not_shown", job=self._job.id, reason=str(error))
        finally:
            self._edited_at = time.perf_counter()

    async def stop(self) -> None:
        """Make no more edits, and wait for one that is being made."""
        self._over = True
        self._drop_timer()
        if self._editing is not None:
            await asyncio.wait([self._editing])
