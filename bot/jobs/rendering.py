"""One job on the engine: its requests, what they bring, and what the card says meanwhile."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import structlog

from bot.jobs.delivery import Picture, Result
from bot.jobs.job import Job, JobProgress
from bot.media.files import write_file
from bot.media.metadata import encode_png
from bot.requests.pricing import ImageOutcome, charge
from bot.store import jobs as store
from bot.store.database import Database
from zimage_engine.engine import Engine
from zimage_engine.handle import Handle
from zimage_engine.types import Cancelled, EngineError, Failed, Finished, Queued, RawImage, Step, UnitFailed

log = structlog.get_logger(__name__)


class Card(Protocol):
    """The job's progress message. Neither :meth:`show` waits nor does an overtaken state ever reach Discord."""

    def show(self, progress: JobProgress) -> None: ...

    async def stop(self) -> None:
        """No more edits: the message may be about to become the result."""
        ...

    async def remove(self) -> None:
        """Take the card away: the result is posted."""
        ...

    async def refuse(self, sentence: str) -> None:
        """End the card with a sentence instead of a result, visible to the owner alone where Discord allows."""
        ...


class Rendering:
    """One job on the engine: its handles, what they bring, and what the card should say."""

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
        self._open = set(range(job.request.count))
        self._withdrawn = False
        self._outcomes = [ImageOutcome("failed")] * job.request.count
        self._steps: list[int] = [0] * job.request.count
        self._started = False
        self._images_done = 0
        self._truncated = False
        self._began = time.monotonic()
        self.device_seconds = 0.0
        self.error: EngineError | None = None

    @property
    def steps_done(self) -> int:
        return sum(self._steps)

    @property
    def steps_total(self) -> int:
        return self._job.request.count * self._job.request.spec.real_steps

    @property
    def spent(self) -> int:
        """The credits to charge for the images that have ended so far, in 1/100."""
        request = self._job.request
        image_price = self._job.credits // request.count
        return charge(self._outcomes, image_price=image_price, steps=request.spec.real_steps)

    @property
    def started(self) -> bool:
        """True once anything of it was drawn."""
        return self._started

    @property
    def handles(self) -> list[Handle]:
        """What can be cancelled."""
        return list(self._handles.values())

    @property
    def withdrawn(self) -> bool:
        """True where images were taken back: the job is to be submitted again."""
        return self._withdrawn and bool(self._open)

    def withdraw(self) -> None:
        """Take a job back from the engine that has not begun; one that has goes on."""
        if self._started:
            return
        self._withdrawn = True
        for handle in self._handles.values():
            handle.cancel()

    def submit(self) -> None:
        """Queue every image that has not ended. What the engine refuses becomes the job's error."""
        job_request = self._job.request
        self._withdrawn = False
        for position in sorted(self._open):
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
        """Wait for every image; the pictures there are, in order. One that fails leaves the others alone."""
        await asyncio.gather(*(self._follow(i, handle) for i, handle in self._handles.items()))
        if self.withdrawn:
            self._handles.clear()  # ended: to follow them again would tell the same once more
        pictures = [picture for _, picture in sorted(self._pictures.items())]
        return Result(pictures, time.monotonic() - self._began, self.device_seconds, self._note())

    def _note(self) -> str:
        """What the member should know beside the picture; empty where there is nothing."""
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
        """One image to its end. Whatever breaks on the way breaks this image alone."""
        try:
            await self._to_picture(position, handle)
        except Exception:
            log.exception("image_lost", job=self._job.id, position=position)
            handle.cancel()
            self.error = UnitFailed("The picture could not be kept; the operator's log says why.")
            self._open.discard(position)
            self._outcomes[position] = ImageOutcome("failed")

    async def _to_picture(self, position: int, handle: Handle) -> None:
        async for event in handle:
            match event:
                case Queued():
                    self._show_queued(event)
                case Step():
                    await self._note_step(position, event)
                case Finished():
                    self._truncated = self._truncated or event.truncated
                    await self._keep(position, event.image, event.seconds)
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

    async def _keep(self, position: int, image: RawImage, seconds: float) -> None:
        """Encode the picture, write it to its file and note it in the database."""
        await self._mark_started()
        spec = self._job.request.spec.image(position)
        image_id = self._job.image_ids[position]
        png = await asyncio.to_thread(encode_png, image, spec.fields())
        file = f"{image_id}.png"
        await asyncio.to_thread(write_file, self._image_dir / file, png)
        await self._end_image(position, "rendered", seconds, file)
        self._images_done += 1
        self._outcomes[position] = ImageOutcome("rendered")
        self._steps[position] = spec.real_steps
        self._pictures[position] = Picture(image_id, spec.seed, png)
        self._show_running()

    async def _end_image(self, position: int, state: str, seconds: float, file: str | None = None) -> None:
        self._open.discard(position)
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


@dataclass(slots=True)
class ActiveJob:
    """A job on its way, with its card; ``rendering`` once it was on the engine."""

    job: Job
    card: Card
    card_message_id: int | None
    rendering: Rendering | None = None
    cancelled: bool = False
    task: asyncio.Task[None] | None = None
