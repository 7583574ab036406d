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
from bot.jobs.admission import Admission
from bot.jobs.completion import Completion, Outbox
from bot.jobs.dispatch import Dispatcher, WaitingJob
from bot.jobs.job import Job, JobProgress, JobRequest
from bot.jobs.rendering import ActiveJob, Card, Rendering
from bot.requests.originals import OriginalFolder
from bot.store import jobs as store
from bot.store.admission import Terms
from bot.store.ceilings import read_terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import paused_guilds
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)

_LOOK_AGAIN = 0.05


class JobService:
    """Takes orders in by the one :class:`Admission` and brings each to its end."""

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
        self._completion = Completion(database, outbox)
        self._image_dir = image_dir
        self.admission = Admission(database, engine.profile, terms)
        self.originals = OriginalFolder(image_dir.parent / "sources")
        self._previews = previews
        self._dispatcher = Dispatcher()
        self._taken: dict[int, Job] = {}
        self._active: dict[int, ActiveJob] = {}
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
        self.admission.terms = await read_terms(self._database, self.admission.configured)
        for guild_id in await self._database.read(paused_guilds):
            self._dispatcher.pause(guild_id)

    async def submit(self, request: JobRequest) -> Job | None:
        """Reserve the credits and insert the job, in one transaction; None for an event that came twice."""
        if self._closing or self.draining:
            raise Refusal("I am just restarting; please ask again in a minute.")
        if request.original is not None:
            image, mask = await asyncio.to_thread(self.originals.keep, request.original)
            request = replace(request, spec=replace(request.spec, original=image, mask=mask))
        job = await self.admission.insert(request)
        if job is None:
            log.info("duplicate_event", source=request.event_id)
            return None
        log.info(
            "job_queued",
            job=job.id,
            user=request.owner_id,
            guild=request.guild_id,
            count=request.count,
            credits=job.credits,
        )
        log.debug("job_prompt", job=job.id, prompt=request.spec.prompt)
        self._taken[job.id] = job
        return job

    def seconds_of(self, request: JobRequest) -> float:
        """How long the device would draw at it, if it had nothing else to do."""
        one = request.spec.request("")
        if request.original is not None:
            one = request.original.applied_to(one)
        return request.count * self._engine.seconds_alone(one)

    def opening(self, job: Job) -> JobProgress:
        """What a job's card says before anything has happened."""
        request = job.request
        decision = self._dispatcher.predict(request.owner_id, request.scope_id, request.guild_id, job.concurrent_jobs)
        if decision != "started":
            return JobProgress(decision)
        return JobProgress("loading" if self._engine.stats().state == "loading" else "queued")

    async def abandon(self, job: Job, code: str) -> None:
        """End a job that was never begun, and give everything back."""
        self._taken.pop(job.id, None)
        self._cancelled_early.discard(job.id)
        await self._completion.end(job, "cancelled", code, spent=0)

    def begin(self, job: Job, card: Card, card_message_id: int | None) -> None:
        """Carry the job on: to the engine as soon as its owner's other jobs and pauses allow."""
        active = ActiveJob(job, card, card_message_id)
        self._active[job.id] = active
        if job.id in self._cancelled_early:
            self._cancelled_early.discard(job.id)
            active.cancelled = True
            self._start(active)
        else:
            self._queue_up(active)

    def request_of(self, job_id: int) -> JobRequest | None:
        """The order of a job that is under way, or None where it has ended."""
        job = self._taken.get(job_id)
        return job.request if job is not None else None

    def cancel(self, job_id: int) -> None:
        """Stop a job at the end of the running unit. Raises :class:`Refusal` where nothing is left to stop."""
        active = self._active.get(job_id)
        handles = active.rendering.handles if active is not None and active.rendering is not None else []
        waits = self._dispatcher.is_waiting(job_id)
        if job_id not in self._taken or (handles and all(handle.ended for handle in handles) and not waits):
            raise Refusal("This one is already finished; there is nothing left to cancel.")
        if active is None:  # its card is just being shown
            self._cancelled_early.add(job_id)
            return
        active.cancelled = True
        if waits:
            self._dispatcher.finish(job_id)
            self._start(active)
        for handle in handles:
            handle.cancel()

    async def cancel_waiting(self, member_id: int, guild_id: int) -> int:
        """Cancel what a member has in line in a server; what is being drawn goes on. How many jobs that were."""
        mine = [job for job in self._of(member_id) if job.request.guild_id == guild_id]
        return self._cancel_all([job for job in mine if not self._has_begun(job.id)])

    async def cancel_all_of(self, member_id: int, seconds: float = 10.0) -> int:
        """Cancel whatever a member has under way and wait for its end, ``seconds`` at most; how many jobs that were."""
        mine = self._of(member_id)
        count, end = self._cancel_all(mine), time.monotonic() + seconds
        while (left := [job.id for job in mine if job.id in self._taken]) and time.monotonic() < end:
            under_way = [active.task for job_id in left if (active := self._active.get(job_id)) is not None]
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
        self._dispatcher.pause(guild_id)
        for active in self._active.values():
            if active.rendering is not None and self._dispatcher.is_paused(active.job.request.guild_id):
                active.rendering.withdraw()
        self._show_waiting()

    def resume(self, guild_id: int) -> None:
        self._dispatcher.resume(guild_id)
        self._show_waiting()

    def _show_waiting(self) -> None:
        """Say on their cards what jobs at the gate wait for."""
        for active in self._active.values():
            if self._dispatcher.is_waiting(active.job.id):
                paused = self._dispatcher.is_paused(active.job.request.guild_id)
                active.card.show(JobProgress("paused" if paused else "held"))

    @property
    def paused_everywhere(self) -> bool:
        return self._dispatcher.is_paused(INSTANCE)

    @property
    def under_way(self) -> int:
        """How many jobs have not ended."""
        return len(self._taken)

    async def close(self, seconds: float) -> None:
        """Wait until every job has been brought to an end; the engine is closed before, so none draws on.

        What is still being posted after ``seconds`` is left as it stands in the database.
        """
        self._closing = True
        self._dispatcher.release_all()
        end = time.monotonic() + seconds
        while tasks := self._tasks():
            _, late = await asyncio.wait(tasks, timeout=max(0.0, end - time.monotonic()))
            if late:
                await self._leave(late)
                return

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {active.task for active in self._active.values() if active.task is not None and not active.task.done()}

    @staticmethod
    async def _leave(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            log.warning("job_left_unfinished", task=task.get_name())
            task.cancel()
        await asyncio.wait(tasks)

    def _of(self, member_id: int) -> list[Job]:
        return [job for job in self._taken.values() if job.request.owner_id == member_id]

    def _has_begun(self, job_id: int) -> bool:
        active = self._active.get(job_id)
        return active is not None and active.rendering is not None and active.rendering.started

    def _cancel_all(self, jobs: list[Job]) -> int:
        count = 0
        for job in jobs:
            try:
                self.cancel(job.id)
            except Refusal:
                continue  # its picture is done, and on its way
            count += 1
        return count

    def _queue_up(self, active: ActiveJob) -> None:
        job, request = active.job, active.job.request
        waiting = WaitingJob(
            job.id,
            request.owner_id,
            request.scope_id,
            request.guild_id,
            job.concurrent_jobs,
            partial(self._start, active),
        )
        decision = self._dispatcher.submit(waiting)
        if decision != "started":
            active.card.show(JobProgress(decision))

    def _start(self, active: ActiveJob) -> None:
        active.task = asyncio.create_task(self._carry(active), name=f"job-{active.job.id}")

    async def _carry(self, active: ActiveJob) -> None:
        """Draw, then deliver; whatever goes wrong ends in a sentence, a row and a log line."""
        job, card = active.job, active.card
        try:
            if not await self._draw(active):
                self._dispatcher.finish(job.id)
                self._queue_up(active)
                return
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("job_failed", job=job.id, error_id=error_id)
            charged = "nothing was charged" if await self._completion.give_up(job) else "the operator has been told"
            await card.refuse(f"Something went wrong on my side; {charged}. (error {error_id})")
        self._active.pop(job.id, None)
        self._taken.pop(job.id, None)
        self._dispatcher.finish(job.id)

    async def _draw(self, active: ActiveJob) -> bool:
        """Bring a job to its end; False where it was taken back from the engine and has to get in line again."""
        job, card = active.job, active.card
        rendering = active.rendering
        if rendering is None:
            if active.card_message_id is not None:
                shown = partial(store.card_shown, job_id=job.id, message_id=active.card_message_id)
                await self._database.write(shown)
            rendering = Rendering(job, self._engine, self._database, self._image_dir, card, previews=self._previews)
            active.rendering = rendering
        if not active.cancelled:
            if self._dispatcher.is_paused(job.request.guild_id):  # since it was let through
                return False
            rendering.submit()
        result = await rendering.finish()
        if rendering.withdrawn and not active.cancelled:
            return False
        self._dispatcher.finish(job.id)
        await card.stop()
        if result.pictures:
            await self._completion.deliver(job, card, active.card_message_id, rendering, result)
        else:
            await self._completion.end_empty(job, card, rendering)
        return True


def _now() -> int:
    return int(time.time())
