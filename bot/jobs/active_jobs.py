"""The jobs of this process that have not ended: dispatches each, runs it, and goes on with those of an earlier process.

Free of Discord, like all of ``bot/jobs``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import structlog

from bot.jobs.active import ActiveJob
from bot.jobs.answering import Answering
from bot.jobs.completion import Completion
from bot.jobs.delivery_loop import DeliveryLoop
from bot.jobs.dispatch import Dispatcher, DispatchJob
from bot.jobs.job import Job, UnreadableRow
from bot.jobs.queue_progress import QueueProgress
from bot.jobs.runner import GIVEN_UP, JobRunner, Outcome
from bot.requests.originals import OriginalFolder
from bot.requests.pricing import Prices
from bot.store import recovery
from bot.store.database import Database
from bot.store.job_rows import JobRow
from bot.store.job_states import CancelCause, State
from zimage_engine.engine import Engine

log = structlog.get_logger(__name__)

_UNKNOWN_SECONDS = 10.0
"""Seconds without a task after which an open job is adopted: one that is being inserted has none for a moment."""

_REFRESH_SECONDS = 15.0
"""The time between two edits of the cards that wait while the model is loaded; the time on them runs by itself."""


class ActiveJobs(Mapping[int, ActiveJob]):
    """Active jobs by id. :attr:`dispatcher` decides when each is started, :attr:`progress` says how far each is."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        prices: Prices,
        completion: Completion,
        originals: OriginalFolder,
        image_dir: Path,
        answering: Answering,
        *,
        previews: bool,
        server_weights: Mapping[int, float],
    ) -> None:
        self._database = database
        self._engine = engine
        self._completion = completion
        self._jobs: dict[int, ActiveJob] = {}
        self._unknown: dict[int, float] = {}
        self._shown_state = engine.state
        self._refreshed_at = time.monotonic()
        self.dispatcher = Dispatcher()
        self.progress = QueueProgress(engine, self.dispatcher, self._jobs)
        self.deliveries = DeliveryLoop(database, completion, self._adopt, answering)
        self._runner = JobRunner(
            database,
            engine,
            prices,
            self.dispatcher,
            completion,
            self.deliveries,
            originals,
            image_dir,
            answering,
            previews=previews,
            server_weights=server_weights,
        )

    def __getitem__(self, job_id: int) -> ActiveJob:
        return self._jobs[job_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def live(self) -> set[int]:
        """The ids of the jobs that some task works on or waits to work on."""
        return {*self._jobs, *self.deliveries.job_ids}

    @property
    def under_way(self) -> set[int]:
        """The ids of the jobs that are on the device or being posted, or on the way from one to the other."""
        busy = {job_id for job_id, active in self.items() if active.task is not None and not active.task.done()}
        return {*busy, *self.dispatcher.started_ids, *self.deliveries.job_ids}

    def add(self, job: Job) -> ActiveJob:
        """Add a job that was just inserted; its card is not shown yet."""
        active = self._jobs[job.id] = ActiveJob(job)
        return active

    def remove(self, active: ActiveJob) -> None:
        """Remove a job that has ended."""
        self._jobs.pop(active.job.id, None)
        if active.forget_prompts:
            self._engine.forget(active.job.request.owner_id)
        active.ended.set()

    def forget_prompts(self, member_id: int) -> None:
        """Have the engine forget what it keeps of a member's prompts: now, and when each of their jobs has ended."""
        self._engine.forget(member_id)
        for active in self._jobs.values():
            if active.job.request.owner_id == member_id:
                active.forget_prompts = True

    def dispatch(self, active: ActiveJob) -> None:
        """Start the job as soon as its owner's other jobs and pauses allow; at once if it only has to be cancelled."""
        if active.cancelled:
            self.start(active)
            return
        job, request = active.job, active.job.request
        decision = self.dispatcher.submit(
            DispatchJob(
                job_id=job.id,
                owner_id=request.owner_id,
                scope_id=request.scope_id,
                guild_id=request.guild_id,
                concurrent_jobs=job.concurrent_jobs,
                start=partial(self.start, active),
                alone=job.attempts > 0,
            )
        )
        if active.card is not None and (decision != "started" or active.restarted):
            active.card.show(self.progress.of(active))

    def cancel(self, job_id: int, cause: CancelCause) -> bool:
        """Stop a job at the end of the running unit. Returns False if nothing is left to stop.

        Images of which all steps are done are finished, unless the data of their owner is to be deleted.
        """
        active = self._jobs[job_id]
        waiting = self.dispatcher.is_waiting(job_id)
        rendering = active.rendering
        on_engine = not waiting and rendering is not None and bool(rendering.handles) and not rendering.withdrawn
        if on_engine and rendering is not None and not rendering.cancel(even_last_unit=cause == "data_deleted"):
            return False
        if active.cancelled is None or cause == "data_deleted":
            active.cancelled = cause
        if waiting:
            self.dispatcher.finish(job_id)
            self.start(active)
        return True

    def start(self, active: ActiveJob) -> None:
        active.task = asyncio.create_task(self._run_to_end(active), name=f"job-{active.job.id}")

    async def _run_to_end(self, active: ActiveJob) -> None:
        """Run a job to its end, or until it is withdrawn from the engine and waits again, or is kept."""
        outcome: Outcome = "ended"  # also if an exception is raised
        try:
            outcome = await self._runner.render_and_deliver(active)
        finally:
            if outcome == "ended":
                self.remove(active)
            self.dispatcher.finish(active.job.id)
            self.show_waiting(active.job.request.owner_id)
        if outcome == "kept":
            self.dispatcher.keep()  # the engine takes nothing any more
        if outcome != "ended":
            self.dispatch(active)

    async def resume(self, row: JobRow) -> None:
        """Dispatch a queued job that an earlier process had accepted, or whose row could not be changed for a while.

        A job whose row cannot be read is ended.
        """
        try:
            job = Job.from_row(row)
        except UnreadableRow as error:
            await self._completion.end_unreadable(row, error)
            return
        active = self._jobs[job.id] = ActiveJob(job, self._completion.restore_card(job, row), row.images)
        active.cancelled = (row.cancel_cause or "owner") if row.cancelled_at is not None else None
        self.dispatch(active)

    async def _adopt(self, in_progress: Mapping[int, State]) -> None:
        """Go on with jobs that have been open for some seconds without any task: their rows could not be changed.

        A job that was running then counts it as an attempt, so that it is given up in the end.
        """
        now = time.monotonic()
        unknown = in_progress.keys() - self.live
        self._unknown = {job_id: self._unknown.get(job_id, now) for job_id in unknown}
        for job_id, since in self._unknown.items():
            if now - since < _UNKNOWN_SECONDS or job_id in self.live:  # another check may have been quicker
                continue
            log.warning("job_adopted", job=job_id, state=in_progress[job_id])
            row = await self._database.write(
                partial(recovery.adopt, job_id=job_id, now=int(time.time()), given_up=GIVEN_UP)
            )
            if row is not None and row.state == "queued" and job_id not in self._jobs:
                await self.resume(row)

    def keep(self) -> None:
        """Start no more jobs, and take those back from the engine that have not started."""
        self.dispatcher.keep()
        for active in self._jobs.values():
            if active.rendering is not None:
                active.rendering.withdraw()
        self.show_waiting()

    async def requeue_running(self) -> None:
        """Queue the running jobs again without counting an attempt: the program ends as planned.

        If the device was lost, each job's own task does so and counts one. A failure is only logged: the next process
        then queues the jobs, as after a crash.
        """
        if self._engine.state == "failed":
            return
        try:
            count = await self._database.write(recovery.requeue_running)
        except Exception:
            log.exception("jobs_not_requeued")
            return
        if count:
            log.info("jobs_kept", running=count)

    def show_waiting(self, owner_id: int | None = None) -> None:
        """Show on the cards of waiting jobs what they wait for: of one member, or of all if ``owner_id`` is None."""
        for active in self._jobs.values():
            if owner_id is not None and active.job.request.owner_id != owner_id:
                continue
            if active.card is not None and self.dispatcher.is_waiting(active.job.id):
                active.card.show(self.progress.of(active))

    def refresh(self) -> None:
        """Show on the cards of jobs on the engine that the model is being loaded, and when that is over.

        Call it every few seconds: the engine has no event for that.
        """
        state, now = self._engine.state, time.monotonic()
        loading = state in ("loading", "recovering")
        if state == self._shown_state and (not loading or now - self._refreshed_at < _REFRESH_SECONDS):
            return
        self._shown_state, self._refreshed_at = state, now
        for active in self._jobs.values():
            if active.card is not None and active.pictures_left and active.handles:
                active.card.show(self.progress.of(active))

    async def close(self, end: float) -> None:
        """Wait until every job has ended or is kept, and its card says so; at most until ``end``, by the loop's clock.

        Deliveries that take longer are cancelled.
        """
        loop = asyncio.get_running_loop()
        while tasks := {active.task for active in self.values() if active.task is not None and not active.task.done()}:
            _, late = await asyncio.wait(tasks, timeout=max(0.0, end - loop.time()))
            for task in late:
                log.warning("job_left_unfinished", task=task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self.deliveries.close(max(0.0, end - loop.time()))
        cards = [asyncio.create_task(active.card.flush()) for active in self.values() if active.card is not None]
        if cards:
            _, unsent = await asyncio.wait(cards, timeout=max(0.2, end - loop.time()))
            for task in unsent:
                task.cancel()
