"""One job on the engine: its requests, the events that follow, and the progress that its card shows."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from bot.jobs.card import Card
from bot.jobs.delivery import Picture, Result
from bot.jobs.job import Job, JobProgress
from bot.media.files import write_file
from bot.requests.parameters import encode_picture
from bot.requests.pricing import ImageOutcome, charge
from bot.store import jobs as store
from bot.store.database import Database
from zimage_engine.engine import Engine
from zimage_engine.handle import Handle
from zimage_engine.types import Cancelled, EngineError, Failed, Finished, Queued, RawImage, Step, UnitFailed

log = structlog.get_logger(__name__)


class Rendering:
    """One job on the engine. Call :meth:`submit`, then :meth:`finish`; both again if it was withdrawn.

    ``device_seconds`` is the time that its images took on the device; ``error`` the newest error of one of them.
    """

    def __init__(
        self, job: Job, engine: Engine, database: Database, image_dir: Path, card: Card, *, previews: bool
    ) -> None:
        self._job = job
        self._engine = engine
        self._database = database
        self._image_dir = image_dir
        self._card = card
        self._wants_previews = previews
        self._previews: dict[int, RawImage] = {}
        self._handles: dict[int, Handle] = {}
        self._pictures: dict[int, Picture] = {}
        self._unfinished = set(range(job.request.count))
        self._outcomes = [ImageOutcome("failed")] * job.request.count
        self._steps = [0] * job.request.count
        self._withdrawn = False
        self._started = False
        self._images_done = 0
        self._truncated = False
        self._created_at = time.monotonic()
        self.device_seconds = 0.0
        self.error: EngineError | None = None

    @property
    def steps_done(self) -> int:
        """The steps run so far, over all images."""
        return sum(self._steps)

    @property
    def steps_total(self) -> int:
        """The steps to run, over all images."""
        return self._job.request.count * self._job.request.spec.real_steps

    @property
    def spent(self) -> int:
        """The credits to charge for the images that have ended so far, in 1/100."""
        return charge(self._outcomes, price=self._job.credits, steps=self._job.request.spec.real_steps)

    @property
    def started(self) -> bool:
        """True once a step of one of its images was run."""
        return self._started

    @property
    def handles(self) -> list[Handle]:
        """The engine's handles of its images, to cancel them."""
        return list(self._handles.values())

    @property
    def withdrawn(self) -> bool:
        """True if images were taken back from the engine: the job has to be submitted again."""
        return self._withdrawn and bool(self._unfinished)

    def withdraw(self) -> None:
        """Take the job back from the engine if none of its steps was run yet; a started one goes on."""
        if self._started:
            return
        self._withdrawn = True
        for handle in self._handles.values():
            handle.cancel()

    def submit(self) -> None:
        """Submit every image that has not ended. If the engine refuses one, that becomes ``error``."""
        job_request = self._job.request
        self._withdrawn = False
        for position in sorted(self._unfinished):
            image_id = self._job.image_ids[position]
            request = replace(job_request.spec.image(position).request(image_id), previews=self._wants_previews)
            if job_request.original is not None:
                request = job_request.original.applied_to(request)
            try:
                self._handles[position] = self._engine.submit(request, owner=job_request.owner_id)
            except EngineError as error:
                self.error = error
                break

    async def finish(self) -> Result:
        """Wait until every submitted image has ended. Returns the pictures that were rendered, in order."""
        await asyncio.gather(*(self._follow(i, handle) for i, handle in self._handles.items()))
        if self.withdrawn:
            self._handles.clear()  # a handle that is followed again repeats its last event
        pictures = [picture for _, picture in sorted(self._pictures.items())]
        return Result(pictures, time.monotonic() - self._created_at, self.device_seconds, self._note())

    def _note(self) -> str:
        """Return what to tell the member beside the pictures; empty if there is nothing."""
        missing = self._job.request.count - self._images_done
        notes: list[str] = []
        if missing and self.error is not None:
            notes.append(f"{missing} of {self._job.request.count} images failed and were not charged.")
        elif missing:
            notes.append(f"{missing} of {self._job.request.count} images were cancelled.")
        if self._job.request.defaults:
            notes.append(f"With {self._job.request.defaults}.")
        if self._truncated:
            notes.append("The prompt was longer than the 512 tokens the model reads; its end had no effect.")
        return " ".join(notes)

    async def _follow(self, position: int, handle: Handle) -> None:
        """Handle one image's events until it ends. An exception fails this image, not the others."""
        try:
            await self._handle_events(position, handle)
        except Exception:
            log.exception("image_lost", job=self._job.id, position=position)
            handle.cancel()
            self.error = UnitFailed("The picture could not be kept; the operator's log says why.")
            self._unfinished.discard(position)
            self._outcomes[position] = ImageOutcome("failed")

    async def _handle_events(self, position: int, handle: Handle) -> None:
        async for event in handle:
            match event:
                case Queued():
                    self._show_queued(event)
                case Step():
                    await self._note_step(position, event)
                case Finished():
                    self._truncated = self._truncated or event.truncated
                    await self._store_picture(position, event.image, event.seconds)
                case Failed():
                    self.error = event.error
                    await self._end_image(position, "failed", event.seconds)
                case Cancelled() if self._withdrawn:
                    pass
                case Cancelled():
                    self._steps[position] = event.steps_done
                    self._outcomes[position] = ImageOutcome("cancelled", event.steps_done)
                    await self._end_image(position, "cancelled", event.seconds)

    def _show_queued(self, event: Queued) -> None:
        if self._started:
            return
        state: Literal["loading", "queued"] = "loading" if self._engine.stats().state == "loading" else "queued"
        self._card.show(JobProgress(state, event.position, event.eta))

    async def _note_step(self, position: int, event: Step) -> None:
        self._steps[position] = event.done
        if event.preview is not None:
            self._previews[position] = event.preview
        await self._mark_started()
        self._show_running()

    async def _mark_started(self) -> None:
        if not self._started:
            self._started = True
            await self._database.write(partial(store.started, job_id=self._job.id, now=int(time.time())))

    def _show_running(self) -> None:
        self._card.show(
            JobProgress(
                "running",
                steps_done=self.steps_done,
                steps_total=self.steps_total,
                images_done=self._images_done,
                previews=tuple(preview for _, preview in sorted(self._previews.items())),
            )
        )

    async def _store_picture(self, position: int, image: RawImage, seconds: float) -> None:
        """Encode a rendered image, write its file, then its row."""
        await self._mark_started()
        spec = self._job.request.spec.image(position)
        image_id = self._job.image_ids[position]
        png = await asyncio.to_thread(encode_picture, image, spec)
        file = f"{image_id}.png"
        await asyncio.to_thread(write_file, self._image_dir / file, png)
        await self._end_image(position, "rendered", seconds, file)
        self._images_done += 1
        self._outcomes[position] = ImageOutcome("rendered")
        self._steps[position] = spec.real_steps
        self._pictures[position] = Picture(image_id, spec.seed, png)
        self._show_running()

    async def _end_image(self, position: int, state: str, seconds: float, file: str | None = None) -> None:
        """Write how an image ended; ``seconds`` on the device count in every case."""
        self._unfinished.discard(position)
        self.device_seconds += seconds
        await self._database.write(
            partial(
                store.image_ended,
                job_id=self._job.id,
                position=position,
                state=state,
                file=file,
                device_ms=round(seconds * 1000),
            )
        )
