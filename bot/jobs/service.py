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

import structlog

from bot.errors import Refusal
from bot.jobs.admission import Door
from bot.jobs.completion import Endings, Outbox
from bot.jobs.dispatch import EVERYWHERE, Gate, Ticket
from bot.jobs.job import Job, JobProgress, Order
from bot.jobs.rendering import Card, Carried, Drawing
from bot.requests.originals import SourceFolder
from bot.store import jobs as store
from bot.store.admission import Terms
from bot.store.ceilings import read_terms
from bot.store.database import Database
from bot.store.moderation import paused_guilds
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)

_LOOK_AGAIN = 0.05


class JobService:
    """Takes orders in by the one :class:`Door` and brings each to its end."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        outbox: Outbox,
        image_dir: Path,
        terms: Terms,
        *,
        previews: bool = True,
    ) -> None:
        self._database = database
        self._engine = engine
        self._endings = Endings(database, outbox)
        self._image_dir = image_dir
        self.door = Door(database, engine.profile, terms)
        self.sources = SourceFolder(image_dir.parent / "sources")
        self._previews = previews
        self._gate = Gate()
        self._taken: dict[int, Job] = {}
        self._carried: dict[int, Carried] = {}
        self._cancelled_early: set[int] = set()
        self._closing = False
        self.draining = False

    async def start(self) -> None:
        """Make the image folder and end what a dead process left behind; pauses and changed ceilings stay so."""
        await asyncio.to_thread(self._image_dir.mkdir, parents=True, exist_ok=True)
        await self._database.write(partial(store.wipe_tokens, now=_now()))
        interrupted = await self._database.write(partial(store.interrupt_all, now=_now()))
        if interrupted:
            log.warning("jobs_interrupted", count=interrupted)
        self.door.terms = await read_terms(self._database, self.door.configured)
        for guild_id in await self._database.look(paused_guilds):
            self._gate.pause(guild_id)

    async def submit(self, order: Order) -> Job | None:
        """Reserve the credits and insert the job, in one transaction; None for an event that came twice."""
        if self._closing or self.draining:
            raise Refusal("I am just restarting; please ask again in a minute.")
        if order.source is not None:
            image, mask = await asyncio.to_thread(self.sources.keep, order.source)
            order = replace(order, spec=replace(order.spec, source=image, mask=mask))
        job = await self.door.insert(order)
        if job is None:
            log.info("duplicate_event", source=order.source_id)
            return None
        log.info(
            "job_queued",
            job=job.id,
            user=order.owner_id,
            guild=order.guild_id,
            count=order.count,
            credits=job.credits,
        )
        log.debug("job_prompt", job=job.id, prompt=order.spec.prompt)
        self._taken[job.id] = job
        return job

    def seconds_of(self, order: Order) -> float:
        """How long the device would draw at it, if it had nothing else to do."""
        request = order.spec.request("")
        if order.source is not None:
            request = order.source.applied_to(request)
        return order.count * self._engine.seconds_alone(request)

    def opening(self, job: Job) -> JobProgress:
        """What a job's card says before anything has happened."""
        order = job.order
        verdict = self._gate.foresee(order.owner_id, order.scope_id, order.guild_id, job.at_a_time)
        if verdict != "through":
            return JobProgress(verdict)
        return JobProgress("loading" if self._engine.stats().state == "loading" else "queued")

    async def abandon(self, job: Job, code: str) -> None:
        """End a job that was never begun, and give everything back."""
        self._taken.pop(job.id, None)
        self._cancelled_early.discard(job.id)
        await self._endings.end(job, "cancelled", code, spent=0)

    def begin(self, job: Job, card: Card, card_message_id: int | None) -> None:
        """Carry the job on: to the engine as soon as its owner's other jobs and pauses allow."""
        carried = Carried(job, card, card_message_id)
        self._carried[job.id] = carried
        if job.id in self._cancelled_early:
            self._cancelled_early.discard(job.id)
            carried.cancelled = True
            self._start(carried)
        else:
            self._queue_up(carried)

    def order_of(self, job_id: int) -> Order | None:
        """The order of a job that is under way, or None where it has ended."""
        job = self._taken.get(job_id)
        return job.order if job is not None else None

    def cancel(self, job_id: int) -> None:
        """Stop a job at the end of the running unit. Raises :class:`Refusal` where nothing is left to stop."""
        carried = self._carried.get(job_id)
        handles = carried.drawing.handles if carried is not None and carried.drawing is not None else []
        waits = self._gate.waits(job_id)
        if job_id not in self._taken or (handles and all(handle.ended for handle in handles) and not waits):
            raise Refusal("This one is already finished; there is nothing left to cancel.")
        if carried is None:  # its card is just being shown
            self._cancelled_early.add(job_id)
            return
        carried.cancelled = True
        if waits:
            self._gate.leave(job_id)
            self._start(carried)
        for handle in handles:
            handle.cancel()

    async def cancel_waiting(self, member_id: int, guild_id: int) -> int:
        """Cancel what a member has in line in a server; what is being drawn goes on. How many jobs that were."""
        mine = [job for job in self._of(member_id) if job.order.guild_id == guild_id]
        return self._cancel_all([job for job in mine if not self._has_begun(job.id)])

    async def cancel_all_of(self, member_id: int, seconds: float = 10.0) -> int:
        """Cancel whatever a member has under way and wait for its end, ``seconds`` at most; how many jobs that were."""
        mine = self._of(member_id)
        count, end = self._cancel_all(mine), time.monotonic() + seconds
        while (left := [job.id for job in mine if job.id in self._taken]) and time.monotonic() < end:
            under_way = [carried.task for job_id in left if (carried := self._carried.get(job_id)) is not None]
            tasks = [task for task in under_way if task is not None and not task.done()]
            if tasks:
                await asyncio.wait(tasks, timeout=end - time.monotonic())
            else:  # a card is just being shown
                await asyncio.sleep(_LOOK_AGAIN)
        return count

    def live_jobs(self) -> set[int]:
        """The jobs that this process carries, whatever their rows say at the moment."""
        return set(self._taken)

    def pause(self, guild_id: int) -> None:
        """Draw nothing more for a server (or for anybody: 0) but what has begun; what waits stays in line."""
        self._gate.pause(guild_id)
        for carried in self._carried.values():
            if carried.drawing is not None and self._gate.paused(carried.job.order.guild_id):
                carried.drawing.withdraw()
        self._show_waiting()

    def resume(self, guild_id: int) -> None:
        self._gate.resume(guild_id)
        self._show_waiting()

    def _show_waiting(self) -> None:
        """Say on their cards what jobs at the gate wait for."""
        for carried in self._carried.values():
            if self._gate.waits(carried.job.id):
                paused = self._gate.paused(carried.job.order.guild_id)
                carried.card.show(JobProgress("paused" if paused else "held"))

    @property
    def paused_everywhere(self) -> bool:
        return self._gate.paused(EVERYWHERE)

    @property
    def under_way(self) -> int:
        """How many jobs have not ended."""
        return len(self._taken)

    async def close(self, seconds: float) -> None:
        """Wait until every job has been brought to an end; the engine is closed before, so none draws on.

        What is still being posted after ``seconds`` is left as it stands in the database.
        """
        self._closing = True
        self._gate.open()
        end = time.monotonic() + seconds
        while tasks := self._tasks():
            _, late = await asyncio.wait(tasks, timeout=max(0.0, end - time.monotonic()))
            if late:
                await self._leave(late)
                return

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {
            carried.task for carried in self._carried.values() if carried.task is not None and not carried.task.done()
        }

    @staticmethod
    async def _leave(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            log.warning("job_left_unfinished", task=task.get_name())
            task.cancel()
        await asyncio.wait(tasks)

    def _of(self, member_id: int) -> list[Job]:
        return [job for job in self._taken.values() if job.order.owner_id == member_id]

    def _has_begun(self, job_id: int) -> bool:
        carried = self._carried.get(job_id)
        return carried is not None and carried.drawing is not None and carried.drawing.started

    def _cancel_all(self, jobs: list[Job]) -> int:
        count = 0
        for job in jobs:
            try:
                self.cancel(job.id)
            except Refusal:
                continue  # its picture is done, and on its way
            count += 1
        return count

    def _queue_up(self, carried: Carried) -> None:
        job, order = carried.job, carried.job.order
        ticket = Ticket(
            job.id, order.owner_id, order.scope_id, order.guild_id, job.at_a_time, partial(self._start, carried)
        )
        verdict = self._gate.enter(ticket)
        if verdict != "through":
            carried.card.show(JobProgress(verdict))

    def _start(self, carried: Carried) -> None:
        carried.task = asyncio.create_task(self._carry(carried), name=f"job-{carried.job.id}")

    async def _carry(self, carried: Carried) -> None:
        """Draw, then deliver; whatever goes wrong ends in a sentence, a row and a log line."""
        job, card = carried.job, carried.card
        try:
            if not await self._draw(carried):
                self._gate.leave(job.id)
                self._queue_up(carried)
                return
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("job_failed", job=job.id, error_id=error_id)
            charged = "nothing was charged" if await self._endings.give_up(job) else "the operator has been told"
            await card.refuse(f"Something went wrong on my side; {charged}. (error {error_id})")
        self._carried.pop(job.id, None)
        self._taken.pop(job.id, None)
        self._gate.leave(job.id)

    async def _draw(self, carried: Carried) -> bool:
        """Bring a job to its end; False where it was taken back from the engine and has to get in line again."""
        job, card = carried.job, carried.card
        drawing = carried.drawing
        if drawing is None:
            if carried.card_message_id is not None:
                shown = partial(store.card_shown, job_id=job.id, message_id=carried.card_message_id)
                await self._database.write(shown)
            drawing = Drawing(job, self._engine, self._database, self._image_dir, card, previews=self._previews)
            carried.drawing = drawing
        if not carried.cancelled:
            if self._gate.paused(job.order.guild_id):  # since it was let through
                return False
            drawing.submit()
        result = await drawing.finish()
        if drawing.withdrawn and not carried.cancelled:
            return False
        self._gate.leave(job.id)
        await card.stop()
        if result.pictures:
            await self._endings.deliver(job, card, carried.card_message_id, drawing, result)
        else:
            await self._endings.end_empty(job, card, drawing)
        return True


def _now() -> int:
    return int(time.time())
