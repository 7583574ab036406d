"""The life of a job: admission, dispatch, rendering, completion. Free of Discord.

The row in SQLite is the job's state; memory holds only what it takes to go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from bot.errors import Refusal
from bot.jobs.active import ActiveJob
from bot.jobs.admission import Admission
from bot.jobs.card import ShowCard
from bot.jobs.completion import Completion, Outbox
from bot.jobs.dispatch import Dispatcher, DispatchJob
from bot.jobs.job import Job, JobProgress, JobRequest
from bot.jobs.runner import JobRunner
from bot.requests.originals import OriginalFolder
from bot.store import jobs as store
from bot.store.admission import Terms
from bot.store.ceilings import read_terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import paused_guilds
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)


class JobService:
    """Admits jobs and runs each to its end. While ``draining`` is set, none is admitted."""

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
        self._image_dir = image_dir
        self._completion = Completion(database, outbox)
        self._dispatcher = Dispatcher()
        self._runner = JobRunner(database, engine, self._dispatcher, self._completion, image_dir, previews=previews)
        self.admission = Admission(database, engine.profile, terms)
        self.originals = OriginalFolder(image_dir.parent / "sources")
        self._active: dict[int, ActiveJob] = {}
        self._closing = False
        self.draining = False

    async def start(self) -> None:
        """Make the image folder, end the jobs of a process that died, and read ceilings and pauses."""
        await asyncio.to_thread(self._image_dir.mkdir, parents=True, exist_ok=True)
        await self._database.write(partial(store.wipe_tokens, now=_now()))
        interrupted = await self._database.write(partial(store.interrupt_all, now=_now()))
        if interrupted:
            log.warning("jobs_interrupted", count=interrupted)
        self.admission.terms = await read_terms(self._database, self.admission.configured)
        for guild_id in await self._database.read(paused_guilds):
            self._dispatcher.pause(guild_id)

    async def run(self, request: JobRequest, show_card: ShowCard) -> Job | None:
        """Insert a job, show its card and dispatch it; a task of its own then renders and delivers it.

        Returns the job, or None if its event made one before. Raises :class:`Refusal` if it is not admitted, and what
        ``show_card`` raises: then the job is cancelled and its credits are given back.
        """
        job = await self._insert(request)
        if job is None:
            log.info("duplicate_event", source=request.event_id)
            return None
        active = self._active[job.id] = ActiveJob(job)
        try:
            active.card = await show_card(job, self._first_progress(job))
        except BaseException:
            await self._abandon(active)
            raise
        self._dispatch(active)
        return job

    def seconds_of(self, request: JobRequest) -> float:
        """Return how many seconds an idle device would take for the job."""
        image_request = request.spec.request("")
        if request.original is not None:
            image_request = request.original.applied_to(image_request)
        return request.count * self._engine.seconds_alone(image_request)

    @property
    def active(self) -> Mapping[int, ActiveJob]:
        """The jobs of this process that have not ended, by id, whatever their rows say at the moment."""
        return self._active

    @property
    def under_way(self) -> int:
        """The number of jobs that have not ended."""
        return len(self._active)

    def request_of(self, job_id: int) -> JobRequest | None:
        """Return what an active job was asked for; None if it has ended."""
        active = self._active.get(job_id)
        return active.job.request if active is not None else None

    def is_waiting(self, job_id: int) -> bool:
        """Return whether a job waits to be dispatched: for a pause to end, or for its owner's other jobs."""
        return self._dispatcher.is_waiting(job_id)

    def cancel(self, job_id: int) -> None:
        """Stop a job at the end of the running unit. Raises :class:`Refusal` if nothing is left to stop."""
        active = self._active.get(job_id)
        waiting = self._dispatcher.is_waiting(job_id)
        if active is None or (active.handles and all(handle.ended for handle in active.handles) and not waiting):
            raise Refusal("This one is already finished; there is nothing left to cancel.")
        active.cancelled = True
        if waiting:
            self._dispatcher.finish(job_id)
            self._start(active)
        for handle in active.handles:
            handle.cancel()

    async def cancel_waiting(self, member_id: int, guild_id: int) -> int:
        """Cancel a member's jobs in a server that have not started. Returns how many jobs those were."""
        mine = [active for active in self._of(member_id) if active.job.request.guild_id == guild_id]
        return self._cancel_all([active for active in mine if not active.started])

    async def cancel_all_of(self, member_id: int, seconds: float = 10.0) -> int:
        """Cancel all jobs of a member and wait up to ``seconds`` until they have ended. Returns how many jobs.

        Jobs that are already being delivered are not counted, but waited for.
        """
        mine = self._of(member_id)
        count = self._cancel_all(mine)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for active in mine:
                    await active.ended.wait()
        return count

    def pause(self, guild_id: int) -> None:
        """Dispatch no more jobs of a server, or of anybody if it is :data:`INSTANCE`.

        Jobs on the engine that have not started are taken back and wait; started ones go on.
        """
        self._dispatcher.pause(guild_id)
        for active in self._active.values():
            if active.rendering is not None and self._dispatcher.is_paused(active.job.request.guild_id):
                active.rendering.withdraw()
        self._show_waiting()

    def resume(self, guild_id: int) -> None:
        """Undo :meth:`pause` for the same id."""
        self._dispatcher.resume(guild_id)
        self._show_waiting()

    @property
    def paused_everywhere(self) -> bool:
        return self._dispatcher.is_paused(INSTANCE)

    async def close(self, seconds: float) -> None:
        """Wait until every dispatched job has ended. Close the engine before: that ends what is not rendered yet.

        Deliveries that take longer than ``seconds`` are cancelled, and stay in the database as they are.
        """
        self._closing = True
        self._dispatcher.release_all()
        end = time.monotonic() + seconds
        while tasks := self._tasks():
            _, late = await asyncio.wait(tasks, timeout=max(0.0, end - time.monotonic()))
            if late:
                await self._cancel_tasks(late)
                return

    async def _insert(self, request: JobRequest) -> Job | None:
        """Store the edit's original and insert the job. Returns None if its event made one before."""
        if self._closing or self.draining:
            raise Refusal("I am just restarting; please ask again in a minute.")
        if request.original is not None:
            original, mask = await asyncio.to_thread(self.originals.keep, request.original)
            request = replace(request, spec=replace(request.spec, original=original, mask=mask))
        job = await self.admission.insert(request)
        if job is not None:
            log.info(
                "job_queued",
                job=job.id,
                user=request.owner_id,
                guild=request.guild_id,
                count=request.count,
                credits=job.credits,
            )
            log.debug("job_prompt", job=job.id, prompt=request.spec.prompt)
        return job

    def _first_progress(self, job: Job) -> JobProgress:
        """Return what the job's card shows at first."""
        request = job.request
        decision = self._dispatcher.predict(request.owner_id, request.scope_id, request.guild_id, job.concurrent_jobs)
        if decision != "started":
            return JobProgress(decision)
        return JobProgress("loading" if self._engine.stats().state == "loading" else "queued")

    async def _abandon(self, active: ActiveJob) -> None:
        """End a job whose card could not be shown, and give its credits back."""
        try:
            await self._completion.end(active.job, "cancelled", "not_acknowledged", spent=0)
        finally:
            self._remove(active)

    def _dispatch(self, active: ActiveJob) -> None:
        """Start the job as soon as its owner's other jobs and pauses allow; at once if it only has to be cancelled."""
        if active.cancelled:
            self._start(active)
            return
        job, request = active.job, active.job.request
        decision = self._dispatcher.submit(
            DispatchJob(
                job_id=job.id,
                owner_id=request.owner_id,
                scope_id=request.scope_id,
                guild_id=request.guild_id,
                concurrent_jobs=job.concurrent_jobs,
                start=partial(self._start, active),
            )
        )
        if decision != "started" and active.card is not None:
            active.card.show(JobProgress(decision))

    def _start(self, active: ActiveJob) -> None:
        active.task = asyncio.create_task(self._run_to_end(active), name=f"job-{active.job.id}")

    async def _run_to_end(self, active: ActiveJob) -> None:
        """Run a job to its end, or until it is withdrawn from the engine and waits again."""
        ended = True  # whatever is raised, the job does not run again and its owner's next one may start
        try:
            ended = await self._runner.render_and_deliver(active)
        finally:
            if ended:
                self._remove(active)
            self._dispatcher.finish(active.job.id)
        if not ended:
            self._dispatch(active)

    def _remove(self, active: ActiveJob) -> None:
        self._active.pop(active.job.id, None)
        active.ended.set()

    def _show_waiting(self) -> None:
        """Show on the cards of waiting jobs what they wait for."""
        for active in self._active.values():
            if active.card is not None and self._dispatcher.is_waiting(active.job.id):
                paused = self._dispatcher.is_paused(active.job.request.guild_id)
                active.card.show(JobProgress("paused" if paused else "held"))

    def _of(self, member_id: int) -> list[ActiveJob]:
        return [active for active in self._active.values() if active.job.request.owner_id == member_id]

    def _cancel_all(self, jobs: list[ActiveJob]) -> int:
        """Cancel jobs. Returns how many of them could still be cancelled."""
        count = 0
        for active in jobs:
            with suppress(Refusal):  # it is rendered, and being delivered
                self.cancel(active.job.id)
                count += 1
        return count

    def _tasks(self) -> set[asyncio.Task[None]]:
        return {active.task for active in self._active.values() if active.task is not None and not active.task.done()}

    @staticmethod
    async def _cancel_tasks(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            log.warning("job_left_unfinished", task=task.get_name())
            task.cancel()
        await asyncio.wait(tasks)


def _now() -> int:
    return int(time.time())
