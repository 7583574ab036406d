"""Results that could not be posted at the first attempt: tried again at once when that may help."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from bot.errors import Refusal
from bot.jobs.completion import Completion
from bot.jobs.delivery import Outage
from bot.jobs.delivery_loop import DeliveryLoop
from bot.jobs.job import Job
from bot.store import health, job_rows, recovery
from bot.store.database import Database
from bot.store.job_rows import JobRow, Undelivered
from bot.store.reply_tokens import ReplyToken

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 5.0
_POSTED = "This picture has already been posted."
_NOT_KEPT = "This picture is no longer kept; nothing was charged for it."


@dataclass(frozen=True, slots=True)
class UndeliveredResults:
    """Makes undelivered results due now; the delivery loop does the rest."""

    database: Database
    completion: Completion
    deliveries: DeliveryLoop

    async def needs_operator(self) -> int:
        """Return the number of results that are tried again, if an operator can do something about it; else 0.

        That Discord refuses the bot in the channel of a single member is for its server's admins to change.
        """
        waiting = await self.database.read(health.tried_again)
        several = len({owner_id for _, owner_id in waiting}) > 1
        return len(waiting) if several or any(job_id in self.completion.failing for job_id, _ in waiting) else 0

    async def of(self, member_id: int) -> list[Undelivered]:
        """Return a member's undelivered results, the oldest first."""
        return await self.database.read(partial(job_rows.undelivered_of, member_id=member_id))

    async def retry_of(self, member_id: int) -> None:
        """Try to post a member's results now, but those that they have to ask for; wait some seconds for that."""
        await self._retry(partial(recovery.retry_of_member, member_id=member_id, now=_now()))
        turns = [self.deliveries.turn(result.job_id) for result in await self.of(member_id) if result.due_at]
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS):
                await asyncio.gather(*turns)

    async def retry_in(self, guild_id: int) -> None:
        """Try to post the results of a server now: the bot may have got a permission back."""
        await self._retry(partial(recovery.retry_in_server, guild_id=guild_id, now=_now()))

    async def check_owner(self, job_id: int, member_id: int) -> JobRow:
        """Return an undelivered result's job. Raises :class:`Refusal` if the member cannot have it shown."""
        row = await self.database.read(partial(job_rows.find, job_id=job_id))
        if row is None or row.owner_id != member_id:
            raise Refusal("Only the member who asked for this picture can have it shown.")
        if row.state != "rendered":
            raise Refusal(_POSTED if row.state in ("delivering", "delivered") else _NOT_KEPT)
        return row

    async def show(self, row: JobRow, reply: ReplyToken, message_id: int, file_limit: int | None) -> None:
        """Post a result now, into an interaction's response if its channel is closed; wait for the attempt.

        The response takes the place of the job's card. Raises :class:`Refusal` with what it has to say if it does not
        show the result, and is not removed either.
        """
        with suppress(Outage):
            await self.completion.restore_card(Job.from_row(row), row).remove()
        change = partial(
            recovery.show_again,
            job_id=row.id,
            reply=reply,
            message_id=message_id,
            file_limit=file_limit,
            now=_now(),
        )
        is_card = await self.database.write(change)
        await self.deliveries.turn(row.id)
        after = await self.database.read(partial(job_rows.find, job_id=row.id))
        if after is not None and after.ended_at is None:
            raise Refusal("I still cannot post this picture, but I keep it and try again: /quota says when.")
        if not is_card:  # it was being posted at this moment
            raise Refusal(_POSTED if after is not None and after.state == "delivered" else _NOT_KEPT)

    async def _retry(self, change: partial[int]) -> None:
        count = await self.database.write(change)
        if count:
            log.info("deliveries_due", count=count)
            await self.deliveries.check()


def _now() -> int:
    return int(time.time())
