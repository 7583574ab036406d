"""A member's data: handed out as ZIP parts, and forgotten. Free of Discord."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from bot.errors import Refusal
from bot.jobs.delivery import Undeliverable
from bot.jobs.service import JobService
from bot.media.files import remove_files
from bot.privacy.export_zip import ZipEntry, ZipPacker, json_entries, picture_entry
from bot.store import exports, privacy
from bot.store.database import Database
from bot.store.exports import ExportedJob
from bot.store.privacy import Forgotten, PostedMessage

log = structlog.get_logger(__name__)

_EXPORT_EVERY_SECONDS = 10 * 60
_EXPORTS_AT_ONCE = 3
_GO_ON_SECONDS = 15
_JOBS_AT_ONCE = 500
_LOOK_EVERY_SECONDS = 1.0


class ExportSender(Protocol):
    """Takes parts to a member. ``limit`` is the largest file in bytes that it takes now."""

    @property
    def limit(self) -> int: ...

    async def send(self, number: int, part: bytes) -> None:
        """Raises :class:`Undeliverable` where no way to the member is open."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A ZIP file; ``goes_on_at`` is the job that what follows begins with, None after the last."""

    data: bytes
    goes_on_at: int | None


@dataclass(frozen=True, slots=True)
class Exported:
    """How many parts arrived, the job to go on at where not all did, and how many files were gone from disk."""

    parts: int
    goes_on_at: int | None
    missing: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What deleting a member's data came to: jobs, pictures and how many jobs still run, to be forgotten after.

    ``uploads`` are pictures that ``/details`` had looked at.
    """

    jobs: int
    pictures: int
    still_open: int
    uploads: int = 0


class Privacy:
    """What a member may ask about their own data."""

    def __init__(self, database: Database, jobs: JobService, database_path: Path, image_dir: Path) -> None:
        self._database = database
        self._jobs = jobs
        self._database_path = database_path
        self._image_dir = image_dir
        self._original_dir = jobs.originals.folder
        self._exporting: set[int] = set()
        self._exported: dict[int, float] = {}
        """When each member may have an export again."""
        self._deleting: set[int] = set()

    @contextmanager
    def one_export(self, member_id: int) -> Iterator[None]:
        """One at a time and one every 10 minutes for each member, few at once for all; else :class:`Refusal`.

        What broke off may be gone on with soon.
        """
        now = time.monotonic()
        self._exported = {who: again for who, again in self._exported.items() if again > now}
        if member_id in self._exporting:
            raise Refusal("Your export is on its way: wait until its last part has come.")
        seconds = self._exported.get(member_id, now) - now
        if seconds > _GO_ON_SECONDS:
            raise Refusal(f"One export every 10 minutes: ask again in {math.ceil(seconds / 60)} min.")
        if seconds > 0:
            raise Refusal(f"One moment: ask again in {math.ceil(seconds)} s.")
        if len(self._exporting) >= _EXPORTS_AT_ONCE:
            raise Refusal("Others are having their data exported right now: ask again in some minutes.")
        self._exporting.add(member_id)
        self._exported[member_id] = now + _GO_ON_SECONDS
        try:
            yield
        finally:
            self._exporting.discard(member_id)

    async def export(self, member_id: int, first_job: int, sender: ExportSender) -> Exported:
        """Hand out everything about a member, with the jobs from ``first_job`` on; one part in memory at a time."""
        packing = _Packing(self._database, self._image_dir, self._original_dir, member_id, sender)
        number, goes_on_at = 0, first_job
        async for part in packing.parts(first_job):
            try:
                await sender.send(number + 1, part.data)
            except Undeliverable as error:
                log.info("export_broken_off", user=member_id, part=number + 1, reason=str(error))
                self._exported[member_id] = time.monotonic() + _GO_ON_SECONDS
                return Exported(number, goes_on_at, packing.missing)
            number, goes_on_at = number + 1, part.goes_on_at or goes_on_at
        log.info("exported", user=member_id, parts=number)
        self._exported[member_id] = time.monotonic() + _EXPORT_EVERY_SECONDS
        return Exported(number, None, packing.missing)

    @contextmanager
    def one_deletion(self, member_id: int) -> Iterator[None]:
        """One at a time for each member, else :class:`Refusal`."""
        if member_id in self._deleting:
            raise Refusal("Already on it.")
        self._deleting.add(member_id)
        try:
            yield
        finally:
            self._deleting.discard(member_id)

    async def forget(self, member_id: int) -> Removed:
        """Cancel what a member has under way, and forget everything else at once."""
        await self._jobs.cancel_all_of(member_id)
        forget = partial(privacy.forget_member, member_id=member_id, at_most=_JOBS_AT_ONCE)
        forgotten = await self._forget(forget, member_id)
        await asyncio.to_thread(privacy.empty_log, self._database_path)
        log.info(
            "member_forgotten",
            user=member_id,
            jobs=forgotten.jobs,
            images=len(forgotten.files),
            open=forgotten.still_open,
        )
        return Removed(forgotten.jobs, len(forgotten.files), forgotten.still_open, forgotten.uploads)

    async def forget_rest(self, member_id: int, seconds: float) -> int:
        """Forget the jobs that were still open, as they end; how many remain for the daily task after ``seconds``."""
        end = time.monotonic() + seconds
        while True:
            forget = partial(privacy.forget_closed, member_id=member_id, at_most=_JOBS_AT_ONCE)
            forgotten = await self._forget(forget, member_id)
            if forgotten.jobs:
                await asyncio.to_thread(privacy.empty_log, self._database_path)
            if not forgotten.still_open or time.monotonic() >= end:
                return forgotten.still_open
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def posted(self, member_id: int) -> list[PostedMessage]:
        """Messages that may still stand in Discord: until a day after the data was forgotten."""
        return await privacy.posted_of(self._database, member_id)

    async def posted_gone(self, message: PostedMessage) -> None:
        await self._database.write(partial(privacy.message_gone, job_id=message.job_id))

    async def _forget(self, first: Callable[..., Forgotten], member_id: int) -> Forgotten:
        """Forget in bites, each with the files of its images; the pictures that were brought go last.

        What fails, or is left by a crash, housekeeping forgets and sweeps away.
        """
        bite = total = await self._bite(first)
        while bite.jobs == _JOBS_AT_ONCE:
            bite = await self._bite(partial(privacy.forget_closed, member_id=member_id, at_most=_JOBS_AT_ONCE))
            total += bite
        if total.originals:
            kept = await privacy.kept_originals(self._database)
            names = [f"{name}.png" for name in total.originals - kept]
            await asyncio.to_thread(remove_files, self._original_dir, names)
        return replace(total, still_open=bite.still_open)

    async def _bite(self, forget: Callable[..., Forgotten]) -> Forgotten:
        """What the process still carries is left to it."""
        forgotten = await self._database.write(partial(forget, live=self._jobs.live_jobs(), now=_now()))
        await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
        return forgotten


class _Packing:
    """One export: what there is, in the order in which it is handed out."""

    def __init__(
        self, database: Database, image_dir: Path, original_dir: Path, member_id: int, sender: ExportSender
    ) -> None:
        self._database = database
        self._folders = {"images": image_dir, "sources": original_dir}
        self._member_id = member_id
        self._sender = sender
        self._named: set[str] = set()
        self.missing = 0

    async def parts(self, first_job: int) -> AsyncIterator[Part]:
        packer = ZipPacker()
        async for entry in self._entries(first_job):
            full = await asyncio.to_thread(packer.add, entry, self._sender.limit)
            if full is not None:
                yield Part(full, entry.job_id)
        yield Part(await asyncio.to_thread(packer.finish), None)

    async def _entries(self, first_job: int) -> AsyncIterator[ZipEntry]:
        """What is known of the member, then their jobs page by page, each page followed by its pictures."""
        told, brought = await self._database.read(partial(exports.about, member_id=self._member_id))
        for entry in json_entries("about-you", [told], first_job, self._sender.limit):
            yield entry
        for name in brought:
            async for entry in self._picture("sources", name, first_job):
                yield entry
        page = 1
        while jobs := await self._page(first_job):
            rows = [job.row for job in jobs]
            title = "jobs" if page == 1 else f"jobs-{page}"
            for entry in await asyncio.to_thread(json_entries, title, rows, jobs[0].id, self._sender.limit):
                yield entry
            for job in jobs:
                for folder, names in (("images", job.files), ("sources", job.brought)):
                    for name in names:
                        async for entry in self._picture(folder, name, job.id):
                            yield entry
            first_job, page = jobs[-1].id + 1, page + 1

    async def _page(self, first: int) -> list[ExportedJob]:
        return await self._database.read(
            partial(exports.jobs_from, member_id=self._member_id, first=first, most=_JOBS_AT_ONCE)
        )

    async def _picture(self, folder: str, name: str, job_id: int) -> AsyncIterator[ZipEntry]:
        """The picture, where it has not been handed out yet and is there."""
        title = f"{folder}/{name}"
        if title in self._named:
            return
        self._named.add(title)
        path = self._folders[folder] / name
        entry = await asyncio.to_thread(picture_entry, title, path, job_id, self._sender.limit)
        if entry is not None:
            yield entry
        else:
            self.missing += 1


def _now() -> int:
    return int(time.time())
