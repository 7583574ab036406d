"""One job on the engine: its requests, the events that follow, and the progress that its card shows.

What an image came to is written to its row at once, so that a job can go on after an interruption.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from bot.errors import is_disk_full
from bot.jobs.answering import Answering
from bot.jobs.card import Card
from bot.jobs.job import Job, JobProgress
from bot.jobs.rendering_progress import RenderingProgress
from bot.media.files import write_file
from bot.media.thumbnails import keep_thumbnail
from bot.requests.originals import OriginalFolder
from bot.requests.parameters import encode_picture
from bot.requests.pricing import ImageOutcome, Prices
from bot.requests.spec import ImageSpec
from bot.store import jobs as store
from bot.store.database import Database
from bot.store.job_rows import ImageRow
from bot.store.jobs import ImageEnd, ImageState
from zimage_engine.engine import Engine
from zimage_engine.handle import Handle
from zimage_engine.types import (
    Cancelled,
    DeviceLost,
    EngineClosed,
    EngineError,
    Failed,
    Finished,
    ModelNotFound,
    Queued,
    RawImage,
    Step,
    UnitFailed,
)

log = structlog.get_logger(__name__)

_STOPPED = (EngineClosed, DeviceLost, ModelNotFound)
"""Errors after which the engine takes no requests any more: the job goes on in another process."""
_ENCODERS = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), "encoder")
"""Threads that encode pictures: so few that the event loop always finds a core to answer on."""
_NOT_KEPT = "The picture could not be saved on my side: please try again; if it happens again, tell an admin."


DISK_FULL = "My disk is full, so I cannot save pictures: my operator has to make room first."


class Rendering:
    """One job on the engine. Call :meth:`submit`, then :meth:`finish`; both again if it was withdrawn.

    ``images`` are the images' rows if the job was interrupted: those that have ended are kept. ``error`` is the newest
    error of one of the images.
    """

    def __init__(
        self,
        job: Job,
        engine: Engine,
        prices: Prices,
        database: Database,
        originals: OriginalFolder,
        image_dir: Path,
        card: Card,
        answering: Answering,
        *,
        previews: bool,
        server_weight: float = 1.0,
        images: Sequence[ImageRow] = (),
    ) -> None:
        self._job = job
        self._engine = engine
        self._prices = prices
        self._database = database
        self._originals = originals
        self._image_dir = image_dir
        self._card = card
        self._answering = answering
        self._wants_previews = previews
        self._server_weight = server_weight
        self._handles: dict[int, Handle] = {}
        self._unfinished = set(range(job.request.count))
        self._progress = RenderingProgress(job, engine, restarted=bool(images))
        self._withdrawn = False
        self._stopped: EngineError | None = None
        self.error: EngineError | None = None
        for image in images:
            self._take_over(image)

    def _take_over(self, image: ImageRow) -> None:
        """Note how far an image was when the job was interrupted."""
        if image.state == "queued":
            return
        self._unfinished.discard(image.position)
        if image.state == "rendered":
            self._progress.image_rendered(image.position)
        elif image.error is not None:
            self.error = UnitFailed(image.error)

    @property
    def progress(self) -> JobProgress:
        """How far the job is now."""
        return self._progress.current()

    @property
    def images_done(self) -> int:
        """The number of images that are rendered."""
        return self._progress.images_done

    @property
    def started(self) -> bool:
        """True once a step of one of its images was run."""
        return self._progress.started

    @property
    def handles(self) -> list[Handle]:
        """The engine's handles of its images, to cancel them."""
        return list(self._handles.values())

    @property
    def on_engine(self) -> bool:
        """True while the engine has its images, or has ended them."""
        return bool(self._handles)

    @property
    def pictures_left(self) -> int:
        """The number of its images that are on the engine and have not ended."""
        return sum(not handle.ended for handle in self._handles.values())

    @property
    def withdrawn(self) -> bool:
        """True if images were taken back from the engine: the job has to be submitted again."""
        return self._withdrawn and bool(self._unfinished)

    @property
    def stopped(self) -> EngineError | None:
        """Why the engine stopped before every image had ended: the job goes on in another process."""
        return self._stopped if self._unfinished else None

    def withdraw(self) -> None:
        """Take the job back from the engine if none of its steps was run yet; a started one goes on."""
        if self.started:
            return
        self._withdrawn = True
        self._progress.withdrawn()
        for handle in self._handles.values():
            handle.cancel()

    def cancel(self, *, even_last_unit: bool) -> bool:
        """Cancel the images that have not ended, at the end of the running unit. Returns False if there are none.

        Unless ``even_last_unit``, images of which all steps are done are left: they are about to be ready. After the
        worker was lost they begin again.
        """
        steps = self._job.request.spec.real_steps
        even_last_unit = even_last_unit or self._engine.state == "recovering"
        left = [
            handle
            for position, handle in self._handles.items()
            if not handle.ended and (even_last_unit or self._progress.steps[position] < steps)
        ]
        if not left:
            return False
        self._progress.cancelling = True
        for handle in left:
            handle.cancel()
        self._show()
        return True

    def submit(self) -> None:
        """Submit every image that has not ended. If the engine refuses one, that becomes ``error``."""
        job_request, spec = self._job.request, self._job.request.spec
        self._withdrawn = False
        for position in sorted(self._unfinished):
            image_id = self._job.image_ids[position]
            try:
                request = self._prices.models.request(spec.image(position), image_id)
                request = replace(request, previews=self._wants_previews)
                if spec.original:
                    request = self._originals.applied_to(request, spec.original, spec.mask)
                self._handles[position] = self._engine.submit(
                    request,
                    owner=job_request.owner_id,
                    group=job_request.scope_id,
                    group_weight=self._server_weight,
                )
            except _STOPPED as error:
                self._stopped = error
                break
            except EngineError as error:
                self.error = error
                break

    async def finish(self) -> None:
        """Wait until every submitted image has ended, or was taken back from the engine."""
        await asyncio.gather(*(self._follow(i, handle) for i, handle in self._handles.items()))
        if self.withdrawn or self.stopped is not None:
            self._handles.clear()  # a handle that is followed again repeats its last event

    async def end_rest(self) -> None:
        """End the images that have not ended: as failed if there was an error, else as cancelled before their turn."""
        error = str(self.error) if self.error is not None else None
        state: ImageState = "cancelled" if error is None else "failed"
        for position in sorted(self._unfinished):
            await self._end_image(position, ImageEnd(state, 0, 0, error=error))

    async def _follow(self, position: int, handle: Handle) -> None:
        """Handle one image's events until it ends. An exception fails this image, not the others."""
        try:
            await self._handle_events(position, handle)
        except Exception as error:
            log.exception("image_lost", job=self._job.id, position=position)
            handle.cancel()
            # end_rest() writes it to the row
            self.error = UnitFailed(DISK_FULL if is_disk_full(error) else _NOT_KEPT)

    async def _handle_events(self, position: int, handle: Handle) -> None:
        async for event in handle:
            match event:
                case Queued():
                    self._progress.image_queued(position, event)
                    self._show()
                case Step():
                    await self._note_step(position, event)
                case Finished():
                    await self._store_picture(position, event)
                case Failed() if isinstance(event.error, _STOPPED):
                    self._stopped = event.error
                case Failed():
                    self.error = event.error
                    milliseconds = round(event.seconds * 1000)
                    await self._end_image(position, ImageEnd("failed", 0, milliseconds, error=str(event.error)))
                case Cancelled() if self._withdrawn:
                    pass
                case Cancelled():
                    self._progress.steps[position] = event.steps_done
                    charged = self._charge(ImageOutcome("cancelled", event.units_done))
                    await self._end_image(position, ImageEnd("cancelled", charged, round(event.seconds * 1000)))

    async def _note_step(self, position: int, event: Step) -> None:
        self._progress.image_stepped(position, event)
        await self._mark_started()
        self._show()

    async def _mark_started(self) -> None:
        if not self.started:
            self._progress.started = True
            await self._database.write(partial(store.started, job_id=self._job.id, now=int(time.time())))

    def _show(self) -> None:
        self._card.show(self._progress.current())

    async def _store_picture(self, position: int, event: Finished) -> None:
        """Encode a rendered image, write its file, then its row."""
        await self._mark_started()
        spec = self._job.request.spec.image(position)
        image_id = self._job.image_ids[position]
        await self._answering.give_way()
        file = f"{image_id}.png"
        write = partial(_write_picture, self._image_dir / file, event.image, spec)
        await asyncio.get_running_loop().run_in_executor(_ENCODERS, write)
        charged, milliseconds = self._charge(ImageOutcome("rendered")), round(event.seconds * 1000)
        await self._end_image(
            position, ImageEnd("rendered", charged, milliseconds, file=file, truncated=event.truncated)
        )
        self._progress.image_rendered(position)
        self._show()

    def _charge(self, outcome: ImageOutcome) -> int:
        """Return the credits to charge for one of the images, in 1/100."""
        request = self._job.request
        return self._prices.charge(request.spec, self._job.credits // request.count, outcome)

    async def _end_image(self, position: int, end: ImageEnd) -> None:
        """Write how an image ended, in the transaction that charges it."""
        await self._database.write(partial(store.image_ended, job_id=self._job.id, position=position, end=end))
        self._unfinished.discard(position)


def _write_picture(path: Path, image: RawImage, spec: ImageSpec) -> None:
    """Encode a picture and write its file, then its thumbnail. Blocks. Raises :class:`OSError` if the former fails."""
    write_file(path, encode_picture(image, spec))
    keep_thumbnail(path, image.to_pil())
