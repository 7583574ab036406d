"""Cancels jobs: for their owners, for moderators, and when a progress card is deleted in Discord."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from functools import partial

import structlog

from bot.errors import Refusal
from bot.jobs.active import ActiveJob
from bot.jobs.active_jobs import ActiveJobs
from bot.store import job_rows, recovery
from bot.store.database import Database
from bot.store.job_rows import JobRow
from bot.store.job_states import CancelCause, State

log = structlog.get_logger(__name__)

Note = Callable[[sqlite3.Connection], None]
"""Notes in the transaction of the connection that jobs are to be stopped."""

_ON_ITS_WAY = "Already finished: your picture is on its way."
_ENDED: dict[State, str] = {
    "rendered": _ON_ITS_WAY,
    "delivering": _ON_ITS_WAY,
    "delivered": "Already finished: the picture is posted.",
    "failed": "Already over: it failed, and nothing was charged.",
    "expired": "Already over: it could not be posted, and nothing was charged.",
    "cancelled": "Already cancelled.",
}
_GONE = "This request is not in the queue any more."
_DELETED_MAX = 1000
"""How many ids of deleted messages are kept, in case one of them becomes a job's card a moment later."""


class Cancellation:
    """Stops jobs at the end of the running unit, and notes in their rows that they are to be stopped."""

    def __init__(self, database: Database, active: ActiveJobs) -> None:
        self._database = database
        self._active = active
        self._deleted: deque[int] = deque(maxlen=_DELETED_MAX)

    async def cancel(
        self, job_id: int, cause: CancelCause = "owner", write: Callable[[Note], Awaitable[object]] | None = None
    ) -> ActiveJob:
        """Stop a job; does nothing if it is being cancelled already. Returns it.

        ``write`` runs the note in a transaction that it uses for something else, too; by default the note has its own.
        Raises :class:`Refusal` if the job has ended, or if all of its steps are done.
        """
        active = self._active.get(job_id)
        if active is None:
            row = await self._database.read(partial(job_rows.find, job_id=job_id))
            raise Refusal(_ENDED.get(row.state, _GONE) if row is not None else _GONE)
        if active.cancelled is None:
            if not self._active.cancel(job_id, cause):
                raise Refusal(_ON_ITS_WAY)
            await (write or self._database.write)(_note([job_id], cause))
        return active

    async def cancel_waiting(self, member_id: int, guild_id: int) -> int:
        """Cancel a member's jobs in a server that have not started, for a moderator. Returns how many jobs."""
        mine = [active for active in self._of(member_id) if active.job.request.guild_id == guild_id]
        return await self._cancel_all([active for active in mine if not active.started], "moderator")

    async def cancel_all_of(self, member_id: int, seconds: float = 10.0) -> int:
        """Cancel all jobs of a member, whose data is to be deleted; wait up to ``seconds`` until they have ended.

        Jobs that are already being delivered are not counted, but waited for. Returns how many were cancelled.
        """
        mine = self._of(member_id)
        count = await self._cancel_all(mine, "data_deleted")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for active in mine:
                    await active.ended.wait()
        return count

    async def wait_until_ended(self, active: ActiveJob, seconds: float) -> JobRow | None:
        """Return the row of a job once it has ended; None if it has not within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await active.ended.wait()
        except TimeoutError:
            return None
        return await self._database.read(partial(job_rows.find, job_id=active.job.id))

    async def messages_deleted(self, message_ids: Collection[int]) -> None:
        """Cancel the jobs whose progress cards are among messages that were deleted.

        A card that the bot itself deletes changes nothing: its job has ended, or is being delivered.
        """
        self._deleted.extend(message_ids)
        await self._cancel_cards_of(active for active in self._active.values() if _is_card(active, message_ids))

    async def check_card(self, active: ActiveJob) -> None:
        """Cancel a job whose card was deleted before it was known to be the card."""
        await self._cancel_cards_of([active] if _is_card(active, self._deleted) else [])

    async def _cancel_cards_of(self, jobs: Iterable[ActiveJob]) -> None:
        count = await self._cancel_all([active for active in jobs if active.cancelled is None], "card_deleted")
        if count:
            log.info("cards_deleted", count=count)

    async def _cancel_all(self, jobs: list[ActiveJob], cause: CancelCause) -> int:
        """Cancel jobs. Returns how many of them could still be cancelled."""
        cancelled = [active.job.id for active in jobs if self._active.cancel(active.job.id, cause)]
        if cancelled:
            await self._database.write(_note(cancelled, cause))
        return len(cancelled)

    def _of(self, member_id: int) -> list[ActiveJob]:
        return [active for active in self._active.values() if active.job.request.owner_id == member_id]


def _note(job_ids: list[int], cause: CancelCause) -> Note:
    return partial(recovery.cancel, job_ids=job_ids, cause=cause, now=int(time.time()))


def _is_card(active: ActiveJob, message_ids: Collection[int]) -> bool:
    return active.card is not None and active.card.message_id in message_ids
