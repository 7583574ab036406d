"""How far each job is, whether it waits to be dispatched, is on the engine or is being delivered."""

from __future__ import annotations

from collections.abc import Mapping

from bot.jobs.active import ActiveJob
from bot.jobs.dispatch import Dispatcher, WaitReason
from bot.jobs.job import Job, JobProgress
from bot.jobs.rendering_progress import on_engine
from bot.store.guild_settings import INSTANCE
from zimage_engine.engine import Engine


class QueueProgress:
    """Says of the active ``jobs`` how far they are. ``draining``: what is kept waits for the operator to go on."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, jobs: Mapping[int, ActiveJob]) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._jobs = jobs
        self.draining = False

    def first(self, job: Job) -> JobProgress:
        """Return what the card of a job shows at first, which is not dispatched yet."""
        request = job.request
        decision = self._dispatcher.predict(request.owner_id, request.scope_id, request.guild_id, job.concurrent_jobs)
        if decision != "started":
            return self._waiting(job, decision)
        return on_engine(self._engine, self._pictures_before(job), None, restarted=False)

    def of(self, active: ActiveJob) -> JobProgress:
        """Return how far a job is now."""
        job_id = active.job.id
        if self._dispatcher.is_waiting(job_id):
            return self._waiting(active.job, self._dispatcher.reason(job_id), restarted=active.restarted)
        if active.rendering is not None and active.handles:
            ended = all(handle.ended for handle in active.handles)
            return JobProgress("delivering") if ended else active.rendering.progress
        if active.cancelled is not None:
            return JobProgress("cancelling")
        return on_engine(self._engine, self._pictures_before(active.job), None, restarted=active.restarted)

    def _waiting(self, job: Job, reason: WaitReason, *, restarted: bool = False) -> JobProgress:
        if reason == "kept" and self.draining:
            return JobProgress("draining", restarted=restarted)
        request = job.request
        return JobProgress(
            reason,
            self._dispatcher.own_before(job.id, request.owner_id, request.scope_id) if reason == "held" else None,
            restarted=restarted,
            by_operator=self._dispatcher.is_paused(INSTANCE),
        )

    def _pictures_before(self, job: Job) -> int:
        """Return how many pictures of other jobs are on the engine, or on their way to it before this job's.

        That is a bound: until the engine has the job, nobody knows before which of them it goes.
        """
        return sum(
            active.pictures_left
            for active in self._jobs.values()
            if active.job.id != job.id
            and (active.on_engine or active.job.id < job.id)
            and not self._dispatcher.is_waiting(active.job.id)
        )
