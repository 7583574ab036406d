"""How jobs end: delivered, cancelled or failed, each with its row, a log line and a sentence for the owner."""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Protocol

import structlog

from bot.jobs.card import Card
from bot.jobs.delivery import Destination, Outage, Result, Undeliverable, deliver
from bot.jobs.job import Job
from bot.jobs.rendering import Rendering
from bot.store import jobs as store
from bot.store.database import Database
from bot.store.job_states import EndState

log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """Knows where results can be posted in Discord."""

    def destinations(self, job: Job, card_message_id: int | None) -> list[Destination]:
        """Return the destinations to try, the best first."""
        ...


class Completion:
    """Ends jobs in the database and in Discord."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def deliver(self, job: Job, card: Card, rendering: Rendering, result: Result) -> None:
        """Post the result and settle the job; if no destination takes it, the job stays ``rendered``."""
        await self._database.write(partial(store.rendered, job_id=job.id))
        await self._database.write(partial(store.delivering, job_id=job.id))
        try:
            posted = await deliver(job, self._outbox.destinations(job, card.message_id), result, look_first=False)
        except (Undeliverable, Outage) as error:
            await self._leave_rendered(job, card, str(error))
            return
        except Exception as error:
            log.exception("delivery_failed", job=job.id)
            await self._leave_rendered(job, card, type(error).__name__)
            return
        await self._database.write(
            partial(
                store.delivered,
                job_id=job.id,
                channel_id=posted.channel_id,
                message_id=posted.message_id,
                spent=rendering.spent,
                now=_now(),
            )
        )
        log.info(
            "job_delivered",
            job=job.id,
            user=job.request.owner_id,
            scope=job.request.scope_id,
            channel=job.request.channel_id,
            credits=rendering.spent,
            images=len(result.pictures),
            device_seconds=round(rendering.device_seconds, 3),
        )
        if posted.message_id != card.message_id:
            await card.remove()

    async def end_without_pictures(self, job: Job, card: Card, rendering: Rendering) -> None:
        """End a job that has nothing to deliver: failed if it had an error, else cancelled."""
        if rendering.error is None:
            await self.end(job, "cancelled", None, spent=rendering.spent)
            await card.end_with("Cancelled.")
            return
        error_id = secrets.token_hex(4)
        log.error("job_failed", job=job.id, code=rendering.error.code, error_id=error_id, reason=str(rendering.error))
        await self.end(job, "failed", rendering.error.code, spent=0)
        await card.end_with(f"{rendering.error} Nothing was charged. (error {error_id})")

    async def fail(self, job: Job) -> bool:
        """End a job as failed after an unexpected error. Returns False if its row could not be changed to that.

        A job that has a result already keeps its state.
        """
        try:
            await self.end(job, "failed", "unexpected", spent=0)
        except store.StateError:
            return False
        except Exception:
            log.exception("job_not_ended", job=job.id)
            return False
        return True

    async def end(self, job: Job, state: EndState, code: str | None, *, spent: int) -> None:
        """Write the job's last state, charge ``spent`` (1/100 credit) and give back the rest of its reservation.

        Raises :class:`store.StateError` if the state cannot follow the job's own.
        """
        await self._database.write(
            partial(store.ended, job_id=job.id, state=state, error_code=code, spent=spent, now=_now())
        )
        log.info("job_ended", job=job.id, state=state, code=code, credits=spent)

    async def _leave_rendered(self, job: Job, card: Card, reason: str) -> None:
        """Keep the pictures of a job that could not be delivered."""
        await self._database.write(partial(store.undelivered, job_id=job.id))
        log.warning("job_undelivered", job=job.id, reason=reason)
        await card.end_with(
            "The picture is done, but I could neither post it here nor reach you by direct message. "
            "Ask an admin to give me View Channel, Send Messages and Attach Files in this channel."
        )


def _now() -> int:
    return int(time.time())
