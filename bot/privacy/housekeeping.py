"""What is done once a day: what is old is forgotten, what ran out is dropped, what nobody names is swept away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from bot.media.files import remove_files, sweep
from bot.store import jobs, limits, privacy
from bot.store.accounts import DAY
from bot.store.database import Database

log = structlog.get_logger(__name__)

_UNTOUCHED_SECONDS = 60 * 60
"""Younger files are left alone: their row may be about to be written."""
_AT_ONCE = 500
"""Jobs forgotten in one transaction: commands wait for it."""


class Housekeeping:
    """A task that keeps house when it is started, and every 24 hours after that."""

    def __init__(
        self, database: Database, database_path: Path, image_dir: Path, original_dir: Path, retention_days: int
    ) -> None:
        self._database = database
        self._database_path = database_path
        self._image_dir = image_dir
        self._original_dir = original_dir
        self._retention_seconds = retention_days * DAY
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def close(self) -> None:
        """End the task; what it had not done is done after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def clean(self, now: int) -> None:
        """Do everything once. What fails is logged and leaves the rest alone; it is tried again the next day."""
        chores: list[Callable[[int], Awaitable[object]]] = [
            self._expire,
            self._forget_old,
            self._forget_members,
            self._drop_expired,
            self._empty_log,
            self._sweep_images,
            self._sweep_originals,
        ]
        for chore in chores:
            try:
                await chore(now)
            except Exception:
                log.exception("housekeeping_failed", chore=chore.__name__)

    async def _run(self) -> None:
        while True:
            await self.clean(int(time.time()))
            await asyncio.sleep(DAY)

    async def _expire(self, now: int) -> None:
        """What could not be delivered for a day ends; its credits are given back."""
        expired = await self._database.write(partial(privacy.expire_undelivered, now=now))
        if expired:
            log.info("jobs_expired", count=expired)

    async def _forget_old(self, now: int) -> None:
        count = _AT_ONCE
        while count == _AT_ONCE:
            forgotten = await self._database.write(
                partial(privacy.forget_old, ended_before=now - self._retention_seconds, at_most=_AT_ONCE, now=now)
            )
            await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
            count = forgotten.jobs
            if count:
                log.info("jobs_forgotten", count=count, images=len(forgotten.files))

    async def _forget_members(self, now: int) -> None:
        """Members who were forgotten while a job of theirs went on; then whose the accounts were."""
        count = _AT_ONCE
        while count == _AT_ONCE:
            forgotten = await self._database.write(partial(privacy.forget_closed, now=now, at_most=_AT_ONCE))
            await asyncio.to_thread(remove_files, self._image_dir, forgotten.files)
            count = forgotten.jobs
        unlinked = await self._database.write(partial(privacy.unlink, now=now))
        if unlinked:
            log.info("accounts_unlinked", count=unlinked)

    async def _drop_expired(self, now: int) -> None:
        for drop in (limits.drop_expired, privacy.drop_expired_blocks, jobs.wipe_tokens):
            await self._database.write(partial(drop, now=now))

    async def _empty_log(self, now: int) -> None:
        del now
        await asyncio.to_thread(privacy.empty_log, self._database_path)

    async def _sweep_images(self, now: int) -> None:
        kept = await privacy.kept_files(self._database)
        await self._sweep(self._image_dir, kept, now)

    async def _sweep_originals(self, now: int) -> None:
        kept = {f"{name}.png" for name in await privacy.kept_originals(self._database)}
        await self._sweep(self._original_dir, kept, now)

    async def _sweep(self, folder: Path, kept: set[str], now: int) -> None:
        swept = await asyncio.to_thread(sweep, folder, kept, now - _UNTOUCHED_SECONDS)
        if swept:
            log.info("files_swept", folder=folder.name, count=swept)
