"""Keeps the data within its bound and the disk from getting full.

The oldest pictures that are posted are deleted first. Their messages in Discord stay, and edits read the picture from
there; *Again* needs only the row. Pictures to edit that members brought stay as long as their jobs need them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import structlog

from bot.deletion_log import note_dropped
from bot.media.files import remove_files
from bot.store.database import Database
from bot.store.disk_bounds import KeptPicture, drop_files, oldest_pictures
from bot.store.disk_reserve import RESERVE_BYTES

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 30.0
_SIZES_EVERY = 20
"""The sizes of all files are read at every so many checks only."""
_BATCH = 200


class DiskSpace:
    """Measures every 30 seconds, when the client asks.

    ``max_bytes`` of data are kept, None for no bound; ``min_free`` bytes stay free. Requests are refused from half of
    ``min_free`` on, where deleting pictures was not enough. However small that is, they are refused with less than
    8 MiB free, and from when the database needed its reserve until that is held again.
    """

    def __init__(
        self, database: Database, image_dir: Path, original_dir: Path, *, max_bytes: int | None, min_free: int
    ) -> None:
        self._database = database
        self._image_dir = image_dir
        self._original_dir = original_dir
        self._max_bytes = max_bytes
        self._min_free = min_free
        self._low = False
        self._checks = 0
        self._due_at = 0.0

    @property
    def has_room(self) -> bool:
        """Whether new requests are to be taken."""
        return not (self._low or self._database.reserve.spent)

    async def check_if_due(self) -> None:
        """Check if the last check was 30 seconds ago. The client calls it regularly; what fails is logged."""
        now = time.monotonic()
        if now < self._due_at:
            return
        self._due_at = now + _CHECK_SECONDS
        try:
            await self.check()
        except Exception:
            log.exception("disk_not_checked")

    async def check(self) -> None:
        """Delete the oldest posted pictures if there is too little room, and note whether requests can be taken."""
        lack = self._min_free - await self._free()
        if lack > 0:
            await self._make_room(lack, on_disk=True)
        if self._max_bytes is not None and self._checks % _SIZES_EVERY == 0:
            over = await asyncio.to_thread(_size_of, (self._image_dir, self._original_dir)) - self._max_bytes
            if over > 0:
                await self._make_room(over, on_disk=False)
        self._checks += 1
        free = await self._free()
        reserve = self._database.reserve
        least = max(self._min_free / 2, RESERVE_BYTES)
        if free > least + RESERVE_BYTES:
            await asyncio.to_thread(reserve.hold)
        low = free < least or reserve.spent
        if low != self._low:
            (log.error if low else log.info)("disk_low" if low else "disk_has_room", free=free, min_free=self._min_free)
        self._low = low

    async def _free(self) -> int:
        return (await asyncio.to_thread(shutil.disk_usage, self._image_dir)).free

    async def _make_room(self, lack: int, *, on_disk: bool) -> None:
        """Delete pictures, the oldest first, of together ``lack`` bytes.

        ``on_disk``: those that a backup on the same disk has, too, are left, since deleting them frees nothing.
        """
        dropped, freed = 0, 0
        last: KeptPicture | None = None
        while freed < lack:
            found = await self._database.read(partial(oldest_pictures, after=last, count=_BATCH))
            if not found:
                break
            last = found[-1]
            chosen, size = await asyncio.to_thread(_choose, self._image_dir, found, lack - freed, on_disk)
            await self._drop(chosen)
            dropped, freed = dropped + len(chosen), freed + size
        if dropped:
            log.info("pictures_dropped", count=dropped, bytes=freed)
        if freed < lack:
            log.warning("disk_bound_not_kept", lacking=lack - freed, cause="free" if on_disk else "size")

    async def _drop(self, pictures: list[KeptPicture]) -> None:
        files = [picture.file for picture in pictures]
        await asyncio.to_thread(note_dropped, self._image_dir.parent, files)
        await self._database.write(partial(drop_files, image_ids=[picture.id for picture in pictures]))
        await asyncio.to_thread(partial(remove_files, noted=False), self._image_dir, files)


def _choose(
    folder: Path,
    pictures: Iterable[KeptPicture],
    lack: int,
    on_disk: bool,  # noqa: FBT001 - called in a thread
) -> tuple[list[KeptPicture], int]:
    """Return the pictures to delete, in order, and the bytes that this frees."""
    chosen: list[KeptPicture] = []
    freed = 0
    for picture in pictures:
        if freed >= lack:
            break
        try:
            found = (folder / picture.file).stat()
        except FileNotFoundError:
            continue
        if on_disk and found.st_nlink > 1:
            continue
        chosen.append(picture)
        freed += found.st_size
    return chosen, freed


def _size_of(folders: Iterable[Path]) -> int:
    """Return the bytes of all files in the folders, without those in their quarantines."""
    total = 0
    for folder in folders:
        if folder.is_dir():
            with os.scandir(folder) as entries:
                total += sum(entry.stat(follow_symlinks=False).st_size for entry in entries if entry.is_file())
    return total
