"""Deletes the pictures of channels, threads and servers that are gone.

A channel's at once; a server's a day after the bot was removed, so that nothing is lost by a mistake.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from bot.errors import Restarting
from bot.media.files import remove_files
from bot.store import removed_places as store
from bot.store.database import Database
from bot.store.removed_places import GUILD_SECONDS, RemovedPlace

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 60 * 60.0
_BATCH = 200
"""Pictures deleted in one transaction. Commands wait while it runs."""


class RemovedPlaces:
    """Notes what is gone, and deletes its pictures when it is time: looks every hour."""

    def __init__(self, database: Database, image_dir: Path) -> None:
        self._database = database
        self._image_dir = image_dir
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="removed-places")

    async def close(self) -> None:
        """Cancel the task. The next start does what was left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def channel_removed(self, channel_id: int) -> None:
        """Delete the pictures of a channel or thread that was deleted, and those of a channel's threads."""
        now = int(time.time())
        await self._database.write(partial(store.removed, place_id=channel_id, kind="channel", due_at=now))
        with suppress(Restarting):  # it is noted: the next start does it
            await self.clean(now)

    async def guild_removed(self, guild_id: int) -> None:
        """Note that the bot is no member of a server any more."""
        due_at = int(time.time()) + GUILD_SECONDS
        await self._database.write(partial(store.removed, place_id=guild_id, kind="guild", due_at=due_at))

    async def guild_present(self, guild_id: int) -> None:
        """Note that the bot is a member of a server, perhaps again."""
        # At a start this is called for every server: each write would wait for the disk.
        if await self._database.read(partial(store.is_noted, place_id=guild_id)):
            await self._database.write(partial(store.is_back, place_id=guild_id))

    async def compare(self, present: Collection[int]) -> None:
        """Note which servers have gone and come while the program did not run; ``present`` are those it is in now."""
        due_at = int(time.time()) + GUILD_SECONDS
        with suppress(Restarting):  # the next start does it
            guild_ids = await store.guilds_with_pictures(self._database)
            await self._database.write(partial(store.compare, guild_ids=guild_ids, present=present, due_at=due_at))

    async def clean(self, now: int) -> None:
        """Delete the pictures of all places that are due at ``now``, in UTC seconds."""
        for place in await self._database.read(partial(store.due, now=now)):
            await self._delete(place)

    async def _delete(self, place: RemovedPlace) -> None:
        """Delete the pictures of a place; what a crash leaves, the next call deletes."""
        total = 0
        for part in await self._database.read(partial(store.with_children, place=place)):
            job = -1
            while job:
                delete = partial(store.delete_pictures, place=part, at_most=_BATCH, first_job=job)
                job, files = await self._database.write(delete)
                await asyncio.to_thread(remove_files, self._image_dir, files)
                total += len(files)
        await self._database.write(partial(store.cleared, place_id=place.place_id))
        log.info("place_removed", kind=place.kind, place=place.place_id, images=total)

    async def _run(self) -> None:
        while True:
            try:
                await self.clean(int(time.time()))
            except Exception:
                log.exception("place_not_removed")
            await asyncio.sleep(_CHECK_SECONDS)
