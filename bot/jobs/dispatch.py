"""Decide which admitted jobs go to the engine.

A member's jobs in one server (or in direct messages) run at most ``concurrent_jobs`` at a time, in the order of their
ids; none of a paused server's are started. A job that may have stopped the process runs alone. A waiting job costs no
task: the dispatcher calls its ``start``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.store.guild_settings import INSTANCE

WaitReason = Literal["held", "paused", "kept", "waiting"]
"""``held``: until other jobs of the same member finish. ``paused``: until the server or the instance is resumed.
``kept``: until the program is restarted, or draining ends. ``waiting``: for a job that runs alone, or to do so.
"""
Decision = WaitReason | Literal["started"]


@dataclass(frozen=True, slots=True)
class DispatchJob:
    """A job as the dispatcher sees it; ``concurrent_jobs`` is its owner's limit, None if unlimited.

    ``start`` is called once, when the job may go to the engine. While an ``alone`` one is started, no other is.
    """

    job_id: int
    owner_id: int
    scope_id: int
    guild_id: int | None
    concurrent_jobs: int | None
    start: Callable[[], None]
    alone: bool = False

    @property
    def concurrency_key(self) -> tuple[int, int]:
        """Jobs with the same key count against one limit: those of one member in one scope."""
        return self.owner_id, self.scope_id


class Dispatcher:
    """Starts jobs within their owners' limits and holds back the others. Not thread-safe: for the event loop alone."""

    def __init__(self) -> None:
        self._waiting: dict[int, DispatchJob] = {}
        self._started: dict[int, DispatchJob] = {}
        self._running: Counter[tuple[int, int]] = Counter()
        self._paused: set[int] = set()
        self._keeping = False

    def submit(self, job: DispatchJob) -> Decision:
        """Start the job now if it may run, else as soon as it may. Returns which of these it is, and why."""
        self._waiting[job.job_id] = job
        self._start_ready()
        return "started" if job.job_id in self._started else self.reason(job.job_id)

    def predict(self, owner_id: int, scope_id: int, guild_id: int | None, concurrent_jobs: int | None) -> Decision:
        """Return what :meth:`submit` would decide now, if nothing else of the owner's waits."""
        if self._keeping:
            return "kept"
        if self.is_paused(guild_id):
            return "paused"
        if concurrent_jobs is not None and self._running[owner_id, scope_id] >= concurrent_jobs:
            return "held"
        return "waiting" if self._someone_alone else "started"

    def reason(self, job_id: int) -> WaitReason:
        """Return why a waiting job waits."""
        job = self._waiting[job_id]
        if self._keeping:
            return "kept"
        if self.is_paused(job.guild_id):
            return "paused"
        return "waiting" if self._someone_alone and self._has_place(job) else "held"

    def own_before(self, job_id: int, owner_id: int, scope_id: int) -> int:
        """Return how many jobs of the same member and scope go before a job, which may be new to the dispatcher.

        Those are the started ones, and the older ones that wait and are not paused.
        """
        key = (owner_id, scope_id)
        started = [job for job in self._started.values() if job.job_id != job_id]
        older = [job for job in self._waiting.values() if job.job_id < job_id and not self.is_paused(job.guild_id)]
        return sum(job.concurrency_key == key for job in (*started, *older))

    def finish(self, job_id: int) -> None:
        """Remove a job, whether it waits or was started, and start what may run instead. Unknown ids are ignored."""
        self._waiting.pop(job_id, None)
        job = self._started.pop(job_id, None)
        if job is not None:
            self._running[job.concurrency_key] -= 1
            if not self._running[job.concurrency_key]:
                del self._running[job.concurrency_key]
        self._start_ready()

    @property
    def started_ids(self) -> set[int]:
        """The ids of the jobs that were started and have not finished."""
        return set(self._started)

    def is_waiting(self, job_id: int) -> bool:
        return job_id in self._waiting

    def is_paused(self, guild_id: int | None) -> bool:
        """Return whether jobs of this server, or of the whole instance, are paused. ``guild_id`` is None in DMs."""
        return INSTANCE in self._paused or guild_id in self._paused

    def pause(self, guild_id: int) -> None:
        """Start no more jobs of this server, or of anybody if it is :data:`INSTANCE`."""
        self._paused.add(guild_id)
        self._start_ready()  # what waited for one of its jobs to run alone

    def resume(self, guild_id: int) -> None:
        """Undo :meth:`pause` for the same id, and start what may run."""
        self._paused.discard(guild_id)
        self._start_ready()

    def keep(self) -> None:
        """Start no more jobs at all, until :meth:`stop_keeping`."""
        self._keeping = True

    def stop_keeping(self) -> None:
        """Undo :meth:`keep`, and start what may run."""
        self._keeping = False
        self._start_ready()

    def _start_ready(self) -> None:
        """Start every waiting job that may run.

        Ids are in order of age, so a job that was withdrawn from the engine goes before younger ones. A younger job
        never overtakes an older one with the same key, even if its own limit is higher. Nothing is started before a
        job that has to run alone and waits for the started ones.
        """
        full: set[tuple[int, int]] = set()
        for job in sorted(self._waiting.values(), key=lambda job: job.job_id):
            if self._keeping or self._is_taken:
                return
            if self.is_paused(job.guild_id) or job.concurrency_key in full:
                continue
            if not self._has_place(job):
                full.add(job.concurrency_key)
            elif job.alone and self._started:
                return
            else:
                self._start(job)

    @property
    def _is_taken(self) -> bool:
        """True while a job runs alone."""
        return any(job.alone for job in self._started.values())

    @property
    def _someone_alone(self) -> bool:
        """True while a job runs alone, or waits to."""
        return self._is_taken or any(job.alone for job in self._waiting.values())

    def _has_place(self, job: DispatchJob) -> bool:
        return job.concurrent_jobs is None or self._running[job.concurrency_key] < job.concurrent_jobs

    def _start(self, job: DispatchJob) -> None:
        del self._waiting[job.job_id]
        self._started[job.job_id] = job
        self._running[job.concurrency_key] += 1
        job.start()
