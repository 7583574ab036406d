"""A member's data: exported as ZIP files, and forgotten. Free of Discord."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot.deletion_log import note_member
from bot.errors import Refusal
from bot.jobs.delivery import Undeliverable
from bot.media.files import remove_files
from bot.privacy.export_zip import ZipEntry, ZipPacker, json_entries, picture_entry
from bot.privacy.member_jobs import MemberJobs
from bot.store import exports, images, privacy
from bot.store.database import Database
from bot.store.exports import ExportedJob
from bot.store.privacy import Forgotten, PostedMessage
from bot.throttle import Throttle

log = structlog.get_logger(__name__)

_EXPORT_EVERY_SECONDS = 10 * 60
_EXPORTS_AT_ONCE = 3
_RESUME_SECONDS = 15
"""How long to wait before an export that was interrupted may be resumed."""
_PAGE = 500
"""Jobs read in one transaction."""
_POLL_SECONDS = 1.0


class ExportSender(Protocol):
    """Sends the ZIP files of an export to a member."""

    @property
    def limit(self) -> int:
        """The largest file in bytes that can be sent now; it may change during the export."""
        ...

    async def send(self, number: int, part: bytes) -> None:
        """Send the ZIP with this number, from 1. Raises :class:`Undeliverable` if the member cannot be reached."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One ZIP file of an export; ``next_job`` is the job that the next one begins with, None after the last."""

    data: bytes
    next_job: int | None


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export: the number of ZIP files that were sent, and of files that could not be packed.

    ``next_job`` is the job to resume at if it was interrupted, else None.
    """

    parts: int
    next_job: int | None
    missing: int


@dataclass(frozen=True, slots=True)
class Removed:
    """How many jobs and pictures of a member were forgotten, and how many jobs have to end before they can be.

    ``uploads`` counts pictures that the member had given to ``/details``.
    """

    jobs: int
    pictures: int
    still_open: int
    uploads: int = 0


class Privacy:
    """Exports and forgets members' data on their own request."""

    def __init__(self, database: Database, jobs: MemberJobs, database_path: Path, image_dir: Path) -> None:
        self._database = database
        self._jobs = jobs
        self._database_path = database_path
        self._image_dir = image_dir
        self._original_dir = jobs.originals.folder
        self._exporting: set[int] = set()
        self._exports: Throttle[int] = Throttle(_EXPORT_EVERY_SECONDS)
        self._deleting: set[int] = set()
        self.forgets: list[Callable[[int], None]] = []
        """Called with a member's id before their data is deleted: each forgets what it holds of them in memory."""

    @contextmanager
    def one_export(self, member_id: int) -> Iterator[None]:
        """Hold a member's place while they are sent an export.

        Raises :class:`Refusal` if they have one already, had one in the last 10 minutes (15 seconds if it was
        interrupted), or if too many members have one now.
        """
        if member_id in self._exporting:
            raise Refusal("Your export is on its way: wait until its last part has come.")
        seconds = self._exports.remaining(member_id)
        if seconds > _RESUME_SECONDS:
            raise Refusal(f"One export every 10 minutes: ask again in {math.ceil(seconds / 60)} min.")
        if seconds > 0:
            raise Refusal(f"One moment: ask again in {math.ceil(seconds)} s.")
        if len(self._exporting) >= _EXPORTS_AT_ONCE:
            raise Refusal("Other exports are running right now: ask again in a few minutes.")
        self._exporting.add(member_id)
        self._exports.start(member_id, _RESUME_SECONDS)
        try:
            yield
        finally:
            self._exporting.discard(member_id)

    async def export(self, member_id: int, first_job: int, sender: ExportSender) -> Exported:
        """Send a member everything about them, with their jobs from ``first_job`` on; one ZIP in memory at a time."""
        packing = _Packing(self._database, self._image_dir, self._original_dir, member_id, sender)
        number, next_job = 0, first_job
        async with aclosing(packing.parts(first_job)) as parts:
            async for part in parts:
                try:
                    await sender.send(number + 1, part.data)
                except Undeliverable as error:
                    log.info("export_broken_off", user=member_id, part=number + 1, reason=str(error))
                    self._exports.start(member_id, _RESUME_SECONDS)
                    return Exported(number, next_job, packing.missing)
                number, next_job = number + 1, part.next_job or next_job
        log.info("exported", user=member_id, parts=number)
        self._exports.start(member_id)
        return Exported(number, None, packing.missing)

    @contextmanager
    def one_deletion(self, member_id: int) -> Iterator[None]:
        """Hold a member's place while their data is deleted. Raises :class:`Refusal` if it is being deleted already."""
        if member_id in self._deleting:
            raise Refusal("Already on it.")
        self._deleting.add(member_id)
        try:
            yield
        finally:
            self._deleting.discard(member_id)

    async def forget(self, member_id: int) -> Removed:
        """Cancel a member's active jobs and forget everything about them; jobs that have not ended yet stay."""
        for forget in self.forgets:
            forget(member_id)
        await asyncio.to_thread(note_member, self._image_dir.parent, member_id)
        await self._jobs.cancellation.cancel_all_of(member_id)
        self._jobs.forget_prompts(member_id)
        removed = await self._forget(partial(privacy.forget_member, member_id=member_id), member_id)
        await asyncio.to_thread(privacy.empty_log, self._database_path)
        log.info(
            "member_forgotten",
            user=member_id,
            jobs=removed.jobs,
            images=removed.pictures,
            open=removed.still_open,
        )
        return removed

    async def forget_rest(self, member_id: int, seconds: float) -> int:
        """Forget the jobs that :meth:`forget` had to leave, as they end, for up to ``seconds``.

        Returns how many have still not ended; the daily task forgets those.
        """
        end = time.monotonic() + seconds
        while True:
            removed = await self._forget(partial(privacy.forget_closed, member_id=member_id), member_id)
            if removed.jobs:
                await asyncio.to_thread(privacy.empty_log, self._database_path)
            if not removed.still_open or time.monotonic() >= end:
                self._jobs.forget_prompts(member_id)  # those of jobs that were running until now
                return removed.still_open
            await asyncio.sleep(_POLL_SECONDS)

    def posted(self, member_id: int) -> AsyncIterator[PostedMessage]:
        """Yield a member's messages that may still exist in Discord; known until a day after :meth:`forget`."""
        return privacy.posted_of(self._database, member_id)

    async def posted_gone(self, message: PostedMessage) -> None:
        """Note that a message no longer exists, or cannot be deleted."""
        await self._database.write(partial(privacy.message_gone, job_id=message.job_id))

    async def _forget(self, first: Callable[..., Forgotten], member_id: int) -> Removed:
        """Forget in batches, between which others write; remove the files of each batch's images, of uploads last.

        What fails, or is left by a crash, the daily task forgets and removes.
        """
        batch = await self._forget_batch(first)
        jobs, pictures, uploads, originals = batch.jobs, len(batch.files), batch.uploads, batch.originals
        while batch.jobs == privacy.BATCH:
            batch = await self._forget_batch(partial(privacy.forget_closed, member_id=member_id))
            jobs, pictures = jobs + batch.jobs, pictures + len(batch.files)
            originals |= batch.originals
        if originals:
            kept = await privacy.kept_originals(self._database)
            await asyncio.to_thread(_remove_originals, self._original_dir, originals, kept)
        return Removed(jobs, pictures, batch.still_open, uploads)

    async def _forget_batch(self, forget: Callable[..., Forgotten]) -> Forgotten:
        """Forget one batch of jobs, except active ones, and remove the files of its images."""
        forgotten = await self._database.write(partial(forget, live=self._jobs.live, now=_now()))
        await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
        return forgotten


class _Packing:
    """One export: the member's data as ZIP files, in a fixed order. ``missing`` counts files that were not packed."""

    def __init__(
        self, database: Database, image_dir: Path, original_dir: Path, member_id: int, sender: ExportSender
    ) -> None:
        self._database = database
        self._folders = {"images": image_dir, "sources": original_dir}
        self._member_id = member_id
        self._sender = sender
        self._packed: set[str] = set()
        self.missing = 0

    async def parts(self, first_job: int) -> AsyncGenerator[Part, None]:
        """Yield the ZIP files, each within the sender's limit at the time."""
        with closing(ZipPacker()) as packer:
            async for entry in self._entries(first_job):
                full = await asyncio.to_thread(packer.add, entry, self._sender.limit)
                if full is not None:
                    yield Part(full, entry.job_id)
            yield Part(await asyncio.to_thread(packer.finish), None)

    async def _entries(self, first_job: int) -> AsyncIterator[ZipEntry]:
        """Yield what is stored about the member, then their jobs page by page, each page followed by its pictures."""
        about, uploaded = await self._database.read(partial(exports.about, member_id=self._member_id))
        for entry in await asyncio.to_thread(json_entries, "about-you", [about], first_job, self._sender.limit):
            yield entry
        for name in uploaded:
            async for entry in self._picture("sources", name, first_job):
                yield entry
        page = 1
        while jobs := await self._page(first_job):
            rows = [job.row for job in jobs]
            title = "jobs" if page == 1 else f"jobs-{page}"
            for entry in await asyncio.to_thread(json_entries, title, rows, jobs[0].id, self._sender.limit):
                yield entry
            for job in jobs:
                for folder, names in (("images", job.files), ("sources", job.input_files)):
                    for name in names:
                        if folder == "images" and not await self._may_hand_out(job, name):
                            continue
                        async for entry in self._picture(folder, name, job.id):
                            yield entry
            first_job, page = jobs[-1].id + 1, page + 1

    async def _page(self, first: int) -> list[ExportedJob]:
        return await self._database.read(partial(exports.jobs_from, member_id=self._member_id, first=first, most=_PAGE))

    async def _may_hand_out(self, job: ExportedJob, file: str) -> bool:
        """Note that an image is handed out, if that is the first time. Returns False if it was deleted meanwhile."""
        image_id = job.unseen.get(file)
        return image_id is None or await self._database.write(partial(images.hand_out, image_id=image_id, now=_now()))

    async def _picture(self, folder: str, name: str, job_id: int) -> AsyncIterator[ZipEntry]:
        """Yield the entry of a picture, unless it was packed before; count it as missing if it cannot be packed."""
        title = f"{folder}/{name}"
        if title in self._packed:
            return
        self._packed.add(title)
        path = self._folders[folder] / name
        entry = await asyncio.to_thread(picture_entry, title, path, job_id, self._sender.limit)
        if entry is not None:
            yield entry
        else:
            self.missing += 1


def _remove_originals(folder: Path, names: set[str], kept: set[str]) -> None:
    """Remove the files of originals that are not kept. Blocks."""
    remove_files(folder, (f"{name}.png" for name in names if name not in kept))


def _now() -> int:
    return int(time.time())
