"""How jobs end: delivered, cancelled or failed, each with its row, a log line and a sentence for the owner.

:meth:`Completion.turn` does what is to be done in Discord. Doing it again is harmless, so that it can be repeated after
a failure or a restart.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot import metrics
from bot.jobs import delivery
from bot.jobs.card import Card, NoteCard
from bot.jobs.delivery import Destination, Outage, OwnerMustAsk, Posted, Result, Undeliverable, deliver
from bot.jobs.job import Job, UnreadableRow, result_note
from bot.media.files import remove_files
from bot.requests.pricing import credits_text
from bot.store import images, job_rows
from bot.store import jobs as store
from bot.store.accounts import DAY
from bot.store.database import Database
from bot.store.job_rows import JobRow, credits_charged
from bot.store.job_states import CancelCause, EndState
from bot.store.open_cards import OpenCard
from zimage_engine.types import EngineError, InvalidRequest

log = structlog.get_logger(__name__)

_PAUSES = (10, 60, 5 * 60, 15 * 60)
_LAST_PAUSE = 60 * 60
_ATTEMPT_SECONDS = 180.0  # for one attempt, with all that discord.py waits for: others wait for its place
_EXPIRED = "I could not post your picture for 24 hours, so I deleted it."
_LOST = "Your picture was lost on my side before I could post it."
_CANCELLED: dict[CancelCause, str] = {
    "owner": "Cancelled",
    "moderator": "Cancelled by a moderator",
    "card_deleted": "Cancelled, since its message was deleted",
    "data_deleted": "",
}
"""The notes of cancelled jobs. The card adds the prompt and the cost."""


class Outbox(Protocol):
    """Knows where results can be posted in Discord, and the cards of jobs that an earlier process accepted."""

    def destinations(self, job: Job, card_message_id: int | None) -> list[Destination]:
        """Return the destinations to try, the best first."""
        ...

    def restore_card(self, job: Job, row: JobRow, note_card: NoteCard) -> Card:
        """Return the card of a job whose card is not in memory."""
        ...

    async def end_open_card(self, card: OpenCard, draft_id: int) -> None:
        """Tell the member that their request was lost before it became a job, and offer its draft.

        Raises :class:`Outage`.
        """
        ...


def pause_after(attempts: int) -> int:
    """Return the seconds between the delivery attempt with this number, from 1, and the next one."""
    return _PAUSES[attempts - 1] if attempts <= len(_PAUSES) else _LAST_PAUSE


@dataclass(frozen=True, slots=True)
class Completion:
    """Ends jobs in the database and in Discord. With ``names_model`` results say which model made them."""

    database: Database
    outbox: Outbox
    image_dir: Path
    failing: set[int] = field(default_factory=set)
    """The ids of jobs whose last attempt to post failed, and not because Discord refused the bot."""
    names_model: bool = False

    async def turn(self, job_id: int, card: Card | None = None) -> None:
        """Post a rendered job's result, then end its card; what fails is due again later.

        Does nothing if there is nothing to do. ``card`` is restored from the row if it is None.
        """
        row = await self._find(job_id)
        if row is None:
            return
        try:
            job = Job.from_row(row)
        except UnreadableRow as error:
            await self.end_unreadable(row, error)
            return
        card = card or self.restore_card(job, row)
        if row.state == "rendered":
            await self._deliver(row, job, card)
            row = await self._find(job_id)
        if row is not None and row.ended_at is not None and row.due_at is not None:
            await self._end_card(row, card)

    def restore_card(self, job: Job, row: JobRow) -> Card:
        """Return the card of a job that an earlier process, or an earlier turn, had shown."""
        return self.outbox.restore_card(job, row, partial(self._note_card, row.id))

    async def end_without_pictures(self, job: Job, error: EngineError | None, cause: CancelCause | None) -> None:
        """End a job that has nothing to deliver: failed if it had an error, else cancelled."""
        if error is None:
            await self.end(job, "cancelled", None, _CANCELLED[cause or "owner"])
            return
        error_id = secrets.token_hex(4)
        # What is wrong with a request is said in the request's own words.
        reason = type(error).__name__ if isinstance(error, InvalidRequest) else str(error)
        log.error("job_failed", job=job.id, code=error.code, error_id=error_id, reason=reason)
        await self.end(job, "failed", error.code, f"{error} Nothing was charged. (error {error_id})")

    async def end_unreadable(self, row: JobRow, error: UnreadableRow) -> None:
        """End a job of which nothing more is known than its row's id and state; it is not charged, its card stays."""
        log.error("job_unreadable", job=row.id, reason=str(error))
        if row.state == "rendered":
            await self._expire(row, "unreadable", "")
        elif row.ended_at is None:
            await self._end_row(row.id, "failed", "unreadable", "")
            metrics.JOBS_ENDED.labels("failed", row.kind).inc()
        await self.database.write(partial(store.card_ended, job_id=row.id))

    async def fail(self, job: Job, sentence: str) -> bool:
        """End a job as failed after an unexpected error. Returns False if its row could not be changed to that.

        A job that has a result already keeps its state.
        """
        try:
            await self.end(job, "failed", "unexpected", sentence)
        except store.StateError:
            return False
        except Exception:
            log.exception("job_not_ended", job=job.id)
            return False
        return True

    async def end(self, job: Job, state: EndState, code: str | None, note: str) -> None:
        """Write the job's last state and what its owner is told, and give back the credits that it is not charged.

        Raises :class:`store.StateError` if the state cannot follow the job's own.
        """
        settled = await self._end_row(job.id, state, code, note)
        metrics.JOBS_ENDED.labels(state, job.request.kind).inc()
        log.info("job_ended", job=job.id, state=state, code=code, credits=settled)

    async def _end_row(self, job_id: int, state: EndState, code: str | None, note: str) -> int:
        """End a job in its row and remove the files that its owner is not charged for. Returns the settled credits."""
        ended = await self.database.write(
            partial(store.ended, job_id=job_id, state=state, error_code=code, note=note, now=_now())
        )
        await asyncio.to_thread(remove_files, self.image_dir, ended.files)
        return ended.credits

    async def _note_card(self, job_id: int, message_id: int, *, moved: bool) -> None:
        note = store.card_moved if moved else store.card_shown
        await self.database.write(partial(note, job_id=job_id, message_id=message_id))

    async def _find(self, job_id: int) -> JobRow | None:
        return await self.database.read(partial(job_rows.find, job_id=job_id))

    async def _deliver(self, row: JobRow, job: Job, card: Card) -> None:
        """Make one attempt to post the result. Expires the job if a day has passed, or if its files are lost."""
        self.failing.discard(row.id)
        if (row.rendered_at or 0) + DAY <= _now():
            await self._give_up(row, job)
            return
        pictures, lost = await asyncio.to_thread(delivery.read_pictures, self.image_dir, row)
        if not pictures:
            await self._expire(row, *(("files_lost", _LOST) if lost else ("deleted", "")))
            return
        if lost:
            await self.database.write(partial(images.lost, job_id=row.id, positions=lost))
            row = await self._find(row.id) or row
        note = result_note(row, job.request.notes)
        result = Result(pictures, _now() - row.created_at, row.device_ms / 1000, note, self.names_model)
        await self.database.write(partial(store.delivering, job_id=row.id))
        try:
            destinations = self.outbox.destinations(job, row.card_message_id)
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                posted = await deliver(job, destinations, result, look_first=row.delivery_attempts > 0)
        except OwnerMustAsk as error:
            await self._postpone(row, card, str(error), due_at=None)
        except Undeliverable as error:
            lacks = f"lack {', '.join(error.missing)} in this channel" if error.missing else "cannot post it here"
            why = f"I {lacks}, and I could not reach you by direct message"
            await self._postpone(row, card, str(error), _next_attempt(row), why)
        except (Outage, TimeoutError) as error:
            self.failing.add(row.id)
            reason = str(error) or "no answer in time"
            await self._postpone(row, card, reason, _next_attempt(row), "Discord is not taking it at the moment")
        except Exception as error:
            self.failing.add(row.id)
            log.exception("delivery_failed", job=row.id)
            await self._postpone(row, card, type(error).__name__, _next_attempt(row), "something went wrong on my side")
        else:
            await self._note_delivered(row, posted, len(pictures))

    async def _give_up(self, row: JobRow, job: Job) -> None:
        """Expire a result, unless its message is found: the answer to an attempt may have been lost."""
        ways = self.outbox.destinations(job, row.card_message_id) if row.delivery_attempts else []
        posted = await delivery.find_once_more(job, ways, _ATTEMPT_SECONDS)
        if posted is None:
            await self._expire(row, "undelivered", _EXPIRED)
            return
        await self.database.write(partial(store.delivering, job_id=row.id))
        await self._note_delivered(row, posted, sum(image.state == "rendered" for image in row.images))

    async def _note_delivered(self, row: JobRow, posted: Posted, picture_count: int) -> None:
        await self.database.write(
            partial(
                store.delivered,
                job_id=row.id,
                channel_id=posted.channel_id,
                message_id=posted.message_id,
                now=_now(),
            )
        )
        metrics.JOBS_ENDED.labels("delivered", row.kind).inc()
        log.info(
            "job_delivered",
            job=row.id,
            user=row.owner_id,
            scope=row.scope_id,
            channel=row.channel_id,
            credits=sum(image.charge or 0 for image in row.images),
            images=picture_count,
            device_seconds=round(row.device_ms / 1000, 3),
        )

    async def _postpone(self, row: JobRow, card: Card, reason: str, due_at: int | None, why: str = "") -> None:
        """Keep a result that could not be posted; the card says ``why``, unless its owner has to ask for the result."""
        await self.database.write(partial(store.undelivered, job_id=row.id, due_at=due_at))
        metrics.DELIVERY_RETRIES.inc()
        log.warning("job_undelivered", job=row.id, attempt=row.delivery_attempts + 1, reason=reason)
        if due_at is None:
            return
        until = f"<t:{(row.rendered_at or 0) + DAY}:f>"
        try:
            await card.show_delay(f"Your picture is ready, but {why}. I keep it and try again until {until}.")
        except (Outage, Undeliverable) as error:
            log.info("delay_not_told", job=row.id, reason=str(error))

    async def _expire(self, row: JobRow, code: str, note: str) -> None:
        """End a job that cannot be delivered any more, give back what it is not charged and remove its files."""
        ended = await self.database.write(partial(_expire, job_id=row.id, code=code, note=note, now=_now()))
        await asyncio.to_thread(remove_files, self.image_dir, ended.files)
        metrics.JOBS_ENDED.labels("expired", row.kind).inc()
        log.warning("job_expired", job=row.id, code=code)

    async def _end_card(self, row: JobRow, card: Card) -> None:
        """End the card of a job that has ended. While Discord does not answer, that is tried again for a day."""
        await card.stop()
        try:
            if not row.note:  # delivered, or its owner had their data deleted
                await card.remove()
            elif row.state == "cancelled":
                known = row.cancel_cause in (None, "owner")
                await card.tell_cancelled(row.note, credits_charged(row), known=known)
            else:
                await card.tell(row.note)
        except Undeliverable as error:
            log.warning("end_not_told", job=row.id, reason=str(error))
        except Exception as error:
            waited = _now() - (row.ended_at or 0)
            expected, reason = isinstance(error, Outage), type(error).__name__
            log.warning("card_not_ended", job=row.id, reason=reason, exc_info=not expected)
            if waited < DAY:
                due_at = _now() + min(max(_PAUSES[0], waited), _LAST_PAUSE)
                await self.database.write(partial(store.postponed, job_id=row.id, due_at=due_at))
                return
        await self.database.write(partial(store.card_ended, job_id=row.id))


def _expire(connection: sqlite3.Connection, job_id: int, code: str, note: str, now: int) -> store.Ended:
    """End an undelivered job; the note, unless it is empty, says what the job cost."""
    charged = images.charges_of_seen(connection, job_id)
    cost = (
        f"It cost {credits_text(charged)}, for what you got or deleted before that."
        if charged
        else "Nothing was charged."
    )
    note = f"{note} {cost}" if note else ""
    return store.ended(connection, job_id, "expired", error_code=code, note=note, now=now)


def _next_attempt(row: JobRow) -> int:
    return _now() + pause_after(row.delivery_attempts + 1)


def _now() -> int:
    return int(time.time())
