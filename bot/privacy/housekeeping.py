"""The daily task: forget old jobs, drop expired rows, and remove old backups and files that no row names."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from bot import metrics
from bot.deletion_log import drop_deletions
from bot.errors import StartupError
from bot.media.files import left_over, quarantine_folder, remove_files
from bot.media.thumbnails import sweep_thumbnails
from bot.privacy.store_check import set_aside, unknown
from bot.store import downloads, drafts, jobs, limits, open_cards, privacy, removed_places
from bot.store.accounts import DAY
from bot.store.backups import backup_folder, remove_old_backups
from bot.store.database import Database
from bot.store.full_backups import (
    made_at,
    make_backup,
    newest_backup,
    remove_old_full_backups,
    remove_unfinished,
)
from bot.store.restore import staging_folder

log = structlog.get_logger(__name__)

_UNTOUCHED_SECONDS = 60 * 60
"""Files younger than this are kept: their row may be about to be written."""
_BACKUP_EVERY_SECONDS = 23 * 60 * 60
"""The least time between two daily backups: a program that is restarted often must not replace the older ones."""


class Housekeeping:
    """Cleans up once when it is started, and every 24 hours after that."""

    def __init__(
        self,
        database: Database,
        database_path: Path,
        image_dir: Path,
        original_dir: Path,
        *,
        retention_days: int,
        backup_days: int,
        full_backups: Path | None = None,
        backup_keep: int = 0,
    ) -> None:
        self._database = database
        self._database_path = database_path
        self._image_dir = image_dir
        self._original_dir = original_dir
        self._retention_seconds = retention_days * DAY
        self._backup_seconds = backup_days * DAY
        self._full_backups = full_backups or backup_folder(database_path)
        self._backup_keep = backup_keep if backup_days else 0
        self._stopping = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self.failed: set[str] = set()
        """The chores that failed when they were last tried."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def close(self) -> None:
        """Cancel the task. The next start does what was left."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def clean(self, now: int) -> None:
        """Run every chore once, at ``now`` in UTC seconds. One that fails is logged and tried again the next day."""
        # By the names that the log has for them.
        chores: dict[str, Callable[[int], Awaitable[object]]] = {
            "_forget_old": self._forget_old,
            "_forget_members": self._forget_members,
            "_drop_expired": self._drop_expired,
            "_empty_log": self._empty_log,
            "_sweep_images": self._sweep_images,
            "_sweep_sources": self._sweep_originals,
            "_empty_quarantine": self._empty_quarantine,
            "_back_up": self._back_up,
            "_remove_backups": self._remove_backups,
        }
        for name, chore in chores.items():
            try:
                await chore(now)
            except Exception as error:
                if isinstance(error, StartupError | OSError):  # says what and where, and is no fault of the program
                    log.error("housekeeping_failed", chore=name, reason=str(error))  # noqa: TRY400
                else:
                    log.exception("housekeeping_failed", chore=name)
                metrics.HOUSEKEEPING_FAILURES.labels(name.removeprefix("_")).inc()
                self.failed.add(name.removeprefix("_"))
            else:
                self.failed.discard(name.removeprefix("_"))

    async def _run(self) -> None:
        while True:
            await self.clean(int(time.time()))
            await asyncio.sleep(DAY)

    async def _forget_old(self, now: int) -> None:
        jobs = pictures = 0
        count = privacy.BATCH
        while count == privacy.BATCH:
            forgotten = await self._database.write(
                partial(privacy.forget_old, ended_before=now - self._retention_seconds, at_most=privacy.BATCH, now=now)
            )
            await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
            jobs, pictures = jobs + forgotten.jobs, pictures + len(forgotten.files)
            count = max(forgotten.jobs, forgotten.uploads)
        if jobs:
            log.info("jobs_forgotten", count=jobs, images=pictures)

    async def _forget_members(self, now: int) -> None:
        """Forget the jobs of deleted members that had not ended at the time; then whose the closed accounts were."""
        count = privacy.BATCH
        while count == privacy.BATCH:
            forgotten = await self._database.write(partial(privacy.forget_closed, now=now))
            await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
            count = forgotten.jobs
        while await self._database.write(partial(privacy.unlink_jobs, now=now)) == privacy.BATCH:
            pass
        unlinked = await self._database.write(partial(privacy.unlink, now=now))
        if unlinked:
            log.info("accounts_unlinked", count=unlinked)

    async def _drop_expired(self, now: int) -> None:
        drops = (
            limits.drop_expired,
            privacy.drop_expired_blocks,
            jobs.wipe_tokens,
            open_cards.drop_old,
            drafts.drop_old,
            removed_places.drop_parents,
            downloads.drop_old,
        )
        for drop in drops:
            await self._database.write(partial(drop, now=now))

    async def _empty_log(self, now: int) -> None:
        del now
        await asyncio.to_thread(privacy.empty_log, self._database_path)

    async def _sweep_images(self, now: int) -> None:
        """Remove images' files that no row needs; where some never had a row, set aside all that is unknown."""
        before = now - _UNTOUCHED_SECONDS
        names = await asyncio.to_thread(left_over, self._image_dir, await privacy.kept_files(self._database), before)
        if await unknown(self._database, names):
            await set_aside(self._database, (self._image_dir, self._original_dir), before)
        await self._sweep(self._image_dir, await privacy.kept_files(self._database), before)
        await asyncio.to_thread(sweep_thumbnails, self._image_dir, before)

    async def _sweep_originals(self, now: int) -> None:
        kept = {f"{name}.png" for name in await privacy.kept_originals(self._database)}
        await self._sweep(self._original_dir, kept, now - _UNTOUCHED_SECONDS)

    async def _empty_quarantine(self, now: int) -> None:
        """Remove what was set aside as long ago as pictures are kept."""
        for folder in (self._image_dir, self._original_dir):
            aside = quarantine_folder(folder)
            names = await asyncio.to_thread(left_over, aside, (), now - self._retention_seconds)
            await asyncio.to_thread(partial(remove_files, noted=False), aside, names)

    async def _back_up(self, now: int) -> None:
        """Make the day's backup of everything, if the settings want one and there is none of today."""
        newest = newest_backup(self._full_backups)
        if not self._backup_keep or (newest is not None and now - made_at(newest) < _BACKUP_EVERY_SECONDS):
            return
        make = partial(make_backup, keep=self._backup_keep, is_stopping=self._stopping.is_set)
        await asyncio.to_thread(make, self._database_path.parent, self._full_backups)

    async def _remove_backups(self, now: int) -> None:
        """Remove backups that are older than members are told, and the log of what they still have and was deleted."""
        folder = backup_folder(self._database_path)
        removed = await asyncio.to_thread(remove_old_backups, folder, now - self._backup_seconds)
        for place in {folder, self._full_backups}:
            removed += await asyncio.to_thread(remove_old_full_backups, place, now - self._backup_seconds)
            await asyncio.to_thread(remove_unfinished, place, now - DAY)
        if removed:
            log.info("backups_removed", count=removed)
        data_dir = self._database_path.parent
        await asyncio.to_thread(partial(shutil.rmtree, staging_folder(data_dir), ignore_errors=True))
        await asyncio.to_thread(drop_deletions, data_dir, now - self._backup_seconds)

    async def _sweep(self, folder: Path, kept: set[str], written_before: float) -> None:
        names = await asyncio.to_thread(left_over, folder, kept, written_before)
        failed = await asyncio.to_thread(remove_files, folder, names)
        if len(names) > failed:
            log.info("files_swept", folder=folder.name, count=len(names) - failed)
