"""The life of a job: admission, dispatch, rendering, completion. Free of Discord.

The row in SQLite is the job's state; memory holds only what it takes to go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import structlog

from bot import metrics
from bot.errors import Restarting
from bot.jobs.active import ActiveJob
from bot.jobs.active_jobs import ActiveJobs
from bot.jobs.admission import Admission
from bot.jobs.answering import Answering
from bot.jobs.cancellation import Cancellation
from bot.jobs.card import Card, ShowCard
from bot.jobs.completion import Completion, Outbox
from bot.jobs.job import Job, JobProgress, JobRequest
from bot.jobs.runner import GIVEN_UP
from bot.jobs.undelivered import UndeliveredResults
from bot.requests.models import Models
from bot.requests.originals import OriginalFolder, keeping
from bot.requests.pricing import Prices
from bot.store import job_rows, recovery
from bot.store import jobs as store
from bot.store.admission import Terms
from bot.store.ceilings import read_terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import paused_guilds
from zimage_engine.engine import Engine
from zimage_engine.prompt_tokens import PromptTokens

log = structlog.get_logger(__name__)


class JobService:
    """Admits jobs and runs each to its end, over restarts of the program if need be.

    ``server_weights`` are weights of servers by id, where they are not 1; direct messages are server 0. ``prompts``
    counts the tokens of prompts, for their prices; by default, it returns upper bounds. ``models`` are those of the
    engine; by default, its default model alone.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        outbox: Outbox,
        image_dir: Path,
        terms: Terms,
        *,
        previews: bool = True,
        server_weights: Mapping[int, float] | None = None,
        prompts: PromptTokens | None = None,
        models: Models | None = None,
    ) -> None:
        self._database = database
        self._engine = engine
        self._image_dir = image_dir
        self.models = models or Models((engine.profile,))
        prices = Prices(self.models, prompts or PromptTokens())
        self.admission = Admission(database, prices, terms)
        self.originals = OriginalFolder(image_dir.parent / "sources")
        self._completion = Completion(database, outbox, image_dir, names_model=self.models.several)
        self._answering = Answering()
        weights = server_weights or {}
        self._active = ActiveJobs(
            database,
            engine,
            prices,
            self._completion,
            self.originals,
            image_dir,
            self._answering,
            previews=previews,
            server_weights=weights,
        )
        self._dispatcher = self._active.dispatcher
        self.cancellation = Cancellation(database, self._active)
        self.deliveries = self._active.deliveries
        self.undelivered = UndeliveredResults(database, self._completion, self.deliveries)
        self._closed = False

    async def start(self) -> None:
        """Make the image folder, read ceilings and pauses, and go on with the jobs that an ended process left.

        Their results, and the results of new jobs, are delivered once :attr:`deliveries` is started.
        """
        await asyncio.to_thread(self._image_dir.mkdir, parents=True, exist_ok=True)
        await self._database.write(partial(store.wipe_tokens, now=_now()))
        recovered = await self._database.write(partial(recovery.recover, now=_now(), given_up=GIVEN_UP))
        if recovered != recovery.Recovered(0, 0, 0):
            log.info("jobs_recovered", **asdict(recovered))
        await self.deliveries.prepare()
        self.admission.terms = await read_terms(self._database, self.admission.configured)
        for guild_id in await self._database.read(paused_guilds):
            self._dispatcher.pause(guild_id)
        for row in await self._database.read(job_rows.queued):
            await self._active.resume(row)

    async def run(self, request: JobRequest, show_card: ShowCard) -> Job | None:
        """Insert a job, show its card and dispatch it; a task of its own then renders and delivers it.

        Returns the job, or None if its event made one before. Raises :class:`Refusal` if it is not admitted, and what
        ``show_card`` raises: then the job is cancelled and its credits are given back.
        """
        with self.handling():
            job = await self._insert(request)
            if job is None:
                log.info("duplicate_event", source=request.event_id)
                return None
            metrics.JOBS_ADMITTED.labels(request.kind).inc()
            active = self._active.add(job)
            try:
                active.card = await show_card(job, self._active.progress.first(job))
            except BaseException:
                await self._abandon(active)
                raise
            await self._note_card(job.id, active.card)
        self._active.dispatch(active)
        await self.cancellation.check_card(active)
        return job

    def seconds_of(self, request: JobRequest) -> float:
        """Return how many seconds an idle device would take for the job."""
        image_request = self.models.request(request.spec, "")
        if request.is_edit:
            image_request = replace(image_request, original=b"")  # the time does not depend on what it shows
        return request.count * self._engine.seconds_alone(image_request)

    def forget_prompts(self, member_id: int) -> None:
        """Have the engine forget what it keeps of a member's prompts to encode them faster, now and after open jobs."""
        self._active.forget_prompts(member_id)

    @property
    def active(self) -> Mapping[int, ActiveJob]:
        """The jobs of this process that have not ended, by id, whatever their rows say at the moment."""
        return self._active

    @property
    def under_way(self) -> int:
        """The number of jobs that are on the device or being posted."""
        return len(self._active.under_way)

    @property
    def live(self) -> set[int]:
        """The ids of the jobs that some task works on or waits to work on."""
        return self._active.live

    async def check(self) -> None:
        """Show whether the model is being loaded, and do what is due in Discord. The client calls it regularly."""
        self._active.refresh()
        await self.deliveries.check()

    def progress_of(self, active: ActiveJob) -> JobProgress:
        """Return how far an active job is now."""
        return self._active.progress.of(active)

    def request_of(self, job_id: int) -> JobRequest | None:
        """Return what an active job was asked for; None if it has ended."""
        active = self._active.get(job_id)
        return active.job.request if active is not None else None

    def is_waiting(self, job_id: int) -> bool:
        """Return whether a job waits to be dispatched: for a pause to end, or for its owner's other jobs."""
        return self._dispatcher.is_waiting(job_id)

    def pause(self, guild_id: int) -> None:
        """Dispatch no more jobs of a server, or of anybody if it is :data:`INSTANCE`.

        Jobs on the engine that have not started are taken back and wait; started ones go on.
        """
        self._dispatcher.pause(guild_id)
        for active in self._active.values():
            if active.rendering is not None and self._dispatcher.is_paused(active.job.request.guild_id):
                active.rendering.withdraw()
        self._active.show_waiting()

    def resume(self, guild_id: int) -> None:
        """Undo :meth:`pause` for the same id."""
        self._dispatcher.resume(guild_id)
        self._active.show_waiting()

    @property
    def paused_everywhere(self) -> bool:
        return self._dispatcher.is_paused(INSTANCE)

    @property
    def closed(self) -> bool:
        """True once no job can be admitted any more: the program is about to end."""
        return self._closed

    @property
    def draining(self) -> bool:
        return self._active.progress.draining

    def drain(self) -> None:
        """Start no more jobs: those that are waiting, and new ones, are kept for :meth:`undrain` or a restart."""
        self._active.progress.draining = True
        self._active.keep()

    def undrain(self) -> None:
        """Undo :meth:`drain`, and start what may run."""
        self._active.progress.draining = False
        self._dispatcher.stop_keeping()
        self._active.show_waiting()

    async def suspend(self) -> None:
        """Prepare for the end of the program: start no more jobs, and leave the running ones to the next process.

        New jobs are still admitted, and kept. Call it before the engine is closed.
        """
        self._active.progress.draining = False  # what waits is now kept for a restart
        self._active.keep()
        await self._active.requeue_running()

    async def close(self, seconds: float) -> None:
        """Wait until every job has ended or is kept. Close the engine before: that gives its jobs back.

        Admits no more jobs. Deliveries that take longer than ``seconds`` are cancelled; the next process makes sure
        that each result is posted once.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        await self._answering.ended(loop.time() + seconds / 2)  # what they ask for is kept
        self._closed = True
        await self._answering.ended(end)
        await self._active.close(end)

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Make :meth:`close` wait for a request that is being handled. Raises :class:`Restarting` after it."""
        if self._closed:
            raise Restarting
        with self._answering.one():
            yield

    async def _insert(self, request: JobRequest) -> Job | None:
        """Store the edit's original and insert the job. Returns None if its event made one before."""
        if request.original is None:
            return await self._admit(request)
        await self.admission.check(request)  # what is refused leaves no file
        async with keeping(self.originals, request.original) as kept:
            job = await self._admit(request.with_stored(kept.image, kept.mask))
            kept.needed = job is not None
            return job

    async def _admit(self, request: JobRequest) -> Job | None:
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

    async def _note_card(self, job_id: int, card: Card) -> None:
        """Write which message the card is. Without that the job goes on; a restart would show another card."""
        if card.message_id is None:
            return
        try:
            await self._database.write(partial(store.card_shown, job_id=job_id, message_id=card.message_id))
        except Exception:
            log.exception("card_not_noted", job=job_id)

    async def _abandon(self, active: ActiveJob) -> None:
        """End a job whose card could not be shown, and give its credits back."""
        try:
            await self._completion.end(active.job, "cancelled", "not_acknowledged", "")
        finally:
            self._active.remove(active)


def _now() -> int:
    return int(time.time())
