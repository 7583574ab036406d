"""The life of a job: reserved, drawn, delivered, settled. Free of Discord.

The row in SQLite is the truth; what is in memory here only carries it forward.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot.errors import Refusal
from bot.jobs.cost import job_cost
from bot.jobs.delivery import Result, Undeliverable, Way, deliver
from bot.jobs.drawing import Card, Drawing
from bot.jobs.job import Job, JobProgress, Order
from bot.jobs.sources import SourceFolder
from bot.store import jobs as store
from bot.store.database import Database
from zimage_engine.engine import Engine
from zimage_engine.handle import Handle

log = structlog.get_logger(__name__)


class Outbox(Protocol):
    """What a job needs from Discord."""

    def ways(self, job: Job, card_message_id: int | None) -> list[Way]:
        """The ways to deliver, the best first."""
        ...


class JobService:
    """Takes orders in and brings each to its end."""

    def __init__(
        self, database: Database, engine: Engine, outbox: Outbox, image_dir: Path, *, previews: bool = True
    ) -> None:
        self._database = database
        self._engine = engine
        self._outbox = outbox
        self._image_dir = image_dir
        self.sources = SourceFolder(image_dir.parent / "sources")
        self._previews = previews
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._handles: dict[int, list[Handle]] = {}
        self._owners: dict[int, int] = {}
        self._cancelled: set[int] = set()
        self._closing = False

    async def start(self) -> None:
        """Make the image folder and end what a dead process left behind."""
        await asyncio.to_thread(self._image_dir.mkdir, parents=True, exist_ok=True)
        await self._database.write(partial(store.wipe_tokens, now=_now()))
        interrupted = await self._database.write(partial(store.interrupt_all, now=_now()))
        if interrupted:
            log.warning("jobs_interrupted", count=interrupted)

    async def submit(self, order: Order) -> Job | None:
        """Reserve the credits and insert the job, in one transaction; None for an event that came twice."""
        if self._closing:
            raise Refusal("I am just restarting; please ask again in a minute.")
        if order.source is not None:
            image, mask = await asyncio.to_thread(self.sources.keep, order.source)
            order = replace(order, spec=replace(order.spec, source=image, mask=mask))
        created_at, nonce = _now(), "j" + secrets.token_hex(11)
        image_ids = tuple(secrets.token_hex(6) for _ in range(order.count))
        credit = job_cost(order.spec, order.count, self._engine.profile)
        new = store.NewJob(
            source_id=order.source_id,
            owner_id=order.owner_id,
            scope_id=order.scope_id,
            guild_id=order.guild_id,
            channel_id=order.channel_id,
            visibility=order.visibility,
            kind=order.kind,
            spec=order.spec.to_json(),
            credits=credit,
            images=tuple((image_id, order.spec.image(i).seed) for i, image_id in enumerate(image_ids)),
            nonce=nonce,
            reply=order.reply,
            created_at=created_at,
            parent_image_id=order.parent_image_id,
        )
        job_id = await self._database.write(partial(store.insert, new=new))
        if job_id is None:
            log.info("duplicate_event", source=order.source_id)
            return None
        log.info("job_queued", job=job_id, user=order.owner_id, guild=order.guild_id, count=order.count, credits=credit)
        log.debug("job_prompt", job=job_id, prompt=order.spec.prompt)
        self._owners[job_id] = order.owner_id
        return Job(job_id, order, credit, image_ids, nonce, created_at)

    def opening(self) -> JobProgress:
        """What a job's card says before anything has happened."""
        return JobProgress("loading" if self._engine.stats().state == "loading" else "queued")

    async def abandon(self, job: Job, code: str) -> None:
        """End a job that was never begun, and give everything back."""
        self._owners.pop(job.id, None)
        await self._end(job, "cancelled", code, spent=0)

    def begin(self, job: Job, card: Card, card_message_id: int | None) -> None:
        """Carry the job on in a task of its own."""
        task = asyncio.create_task(self._carry(job, card, card_message_id), name=f"job-{job.id}")
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._forget(job.id))

    def owner_of(self, job_id: int) -> int | None:
        """The owner of a job that is under way, or None where it has ended."""
        return self._owners.get(job_id)

    def cancel(self, job_id: int) -> None:
        """Stop a job at the end of the running unit. Raises :class:`Refusal` where nothing is left to stop."""
        handles = self._handles.get(job_id)
        if job_id not in self._owners or (handles and all(handle.ended for handle in handles)):
            raise Refusal("This one is already finished; there is nothing left to cancel.")
        self._cancelled.add(job_id)
        for handle in handles or []:
            handle.cancel()

    async def close(self, seconds: float) -> None:
        """Wait until every job has been brought to an end; the engine is closed before, so none draws on.

        What is still being posted after ``seconds`` is left as it stands in the database.
        """
        self._closing = True
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            log.warning("job_left_unfinished", task=task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _forget(self, job_id: int) -> None:
        self._tasks.pop(job_id, None)
        self._handles.pop(job_id, None)
        self._owners.pop(job_id, None)
        self._cancelled.discard(job_id)

    async def _carry(self, job: Job, card: Card, card_message_id: int | None) -> None:
        """Draw, then deliver; whatever goes wrong ends in a sentence, a row and a log line."""
        try:
            if card_message_id is not None:
                await self._database.write(partial(store.card_shown, job_id=job.id, message_id=card_message_id))
            drawing = Drawing(job, self._engine, self._database, self._image_dir, card, previews=self._previews)
            self._handles[job.id] = drawing.submit()
            if job.id in self._cancelled:  # pressed before there was anything to stop
                self.cancel(job.id)
            result = await drawing.finish()
            await card.stop()
            if result.pictures:
                await self._deliver(job, card, card_message_id, drawing, result)
            else:
                await self._end_empty(job, card, drawing)
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("job_failed", job=job.id, error_id=error_id)
            charged = "nothing was charged" if await self._give_up(job) else "the operator has been told"
            await card.refuse(f"Something went wrong on my side; {charged}. (error {error_id})")

    async def _give_up(self, job: Job) -> bool:
        """End a job as failed, whatever state it is in; False where its row says that there is a result."""
        try:
            await self._end(job, "failed", "unexpected", spent=0)
        except store.StateError:
            return False
        except Exception:
            log.exception("job_not_ended", job=job.id)
            return False
        return True

    async def _deliver(
        self, job: Job, card: Card, card_message_id: int | None, drawing: Drawing, result: Result
    ) -> None:
        await self._database.write(partial(store.rendered, job_id=job.id))
        await self._database.write(partial(store.delivering, job_id=job.id))
        try:
            posted = await deliver(job, self._outbox.ways(job, card_message_id), result)
        except Undeliverable as error:
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
                spent=drawing.spent,
                now=_now(),
            )
        )
        log.info(
            "job_delivered",
            job=job.id,
            user=job.order.owner_id,
            scope=job.order.scope_id,
            channel=job.order.channel_id,
            credits=drawing.spent,
            images=len(result.pictures),
            device_seconds=round(drawing.device_seconds, 3),
        )
        if posted.message_id != card_message_id:
            await card.remove()

    async def _leave_rendered(self, job: Job, card: Card, reason: str) -> None:
        """No way was open: the pictures are kept, and the job waits in the database to be delivered."""
        await self._database.write(partial(store.undelivered, job_id=job.id))
        log.warning("job_undelivered", job=job.id, reason=reason)
        await card.refuse(
            "The picture is done, but I could neither post it here nor reach you by direct message. "
            "Ask an admin to give me View Channel, Send Messages and Attach Files in this channel."
        )

    async def _end_empty(self, job: Job, card: Card, drawing: Drawing) -> None:
        """No picture came of it: cancelled (the steps done are charged) or failed (nothing is)."""
        if drawing.error is None:
            await self._end(job, "cancelled", None, spent=drawing.spent)
            await card.refuse("Cancelled.")
            return
        error_id = secrets.token_hex(4)
        log.error("job_failed", job=job.id, code=drawing.error.code, error_id=error_id, reason=str(drawing.error))
        await self._end(job, "failed", drawing.error.code, spent=0)
        await card.refuse(f"{drawing.error} Nothing was charged. (error {error_id})")

    async def _end(self, job: Job, state: store.EndState, code: str | None, *, spent: int) -> None:
        await self._database.write(
            partial(store.ended, job_id=job.id, state=state, error_code=code, spent=spent, now=_now())
        )
        log.info("job_ended", job=job.id, state=state, code=code, credits=spent)


def _now() -> int:
    return int(time.time())
