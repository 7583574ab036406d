"""ZIP files within a size limit, filled entry by entry. All functions block."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from bot.jobs.upload_limits import FILE_LIMIT
from bot.media.metadata import shrink
from bot.store.exports import Readable

_END_BYTES = 64
_ENTRY_BYTES = 160
"""An upper bound for what a ZIP stores per entry, besides its data and its name, which is stored twice."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file to pack. ``job_id`` is the job from which an export has to be resumed to include it."""

    name: str
    data: bytes
    job_id: int = 0

    @property
    def bytes_max(self) -> int:
        """An upper bound for what it takes in a ZIP, in bytes."""
        return len(self.data) + 2 * len(self.name.encode()) + _ENTRY_BYTES


class ZipPacker:
    """Packs entries into a series of ZIPs and holds one of them in memory at a time. Must be closed."""

    def __init__(self) -> None:
        self._buffer = BytesIO()
        self._zip: zipfile.ZipFile | None = None
        self._bytes = _END_BYTES

    def add(self, entry: ZipEntry, limit: int) -> bytes | None:
        """Add an entry. If the ZIP would pass ``limit`` bytes, return it without the entry, which begins the next."""
        full = None
        if self._bytes + entry.bytes_max > limit and self._bytes > _END_BYTES:
            full = self.finish()
        # Pictures are compressed already; deflating them again makes them larger.
        kind = zipfile.ZIP_DEFLATED if entry.name.endswith(".json") else zipfile.ZIP_STORED
        self._open().writestr(entry.name, entry.data, kind)
        self._bytes += entry.bytes_max
        return full

    def finish(self) -> bytes:
        """Return the ZIP as it is; the next entry begins another."""
        self._open().close()
        self._zip = None
        return self._buffer.getvalue()

    def close(self) -> None:
        """End the ZIP that was begun, if there is one."""
        if self._zip is not None:
            self._zip.close()
            self._zip = None

    def _open(self) -> zipfile.ZipFile:
        """Return the ZIP that entries go to, begun if there is none."""
        if self._zip is None:
            self._buffer = BytesIO()
            self._zip = zipfile.ZipFile(self._buffer, "w")
            self._bytes = _END_BYTES
        return self._zip


def split(part: bytes, limit: int) -> Iterator[bytes]:
    """Yield the entries of a ZIP as ZIPs of at most ``limit`` bytes, for a destination with a smaller limit."""
    if len(part) <= limit:
        yield part
        return
    with closing(ZipPacker()) as packer, zipfile.ZipFile(BytesIO(part)) as whole:
        for name in whole.namelist():
            full = packer.add(ZipEntry(name, whole.read(name)), limit)
            if full is not None:
                yield full
        yield packer.finish()


def json_entries(title: str, rows: Sequence[Readable], job_id: int, limit: int) -> list[ZipEntry]:
    """Return rows as JSON, in as many files as keep each well within ``limit`` bytes."""
    pages: list[list[str]] = [[]]
    room = page_bytes = min(limit, FILE_LIMIT) // 2
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, indent=1)
        if len(text.encode()) > room and pages[-1]:
            pages.append([])
            room = page_bytes
        pages[-1].append(text)
        room -= len(text.encode()) + 2
    return [
        ZipEntry(
            f"{title}.json" if number == 0 else f"{title}-part-{number + 1}.json",
            f"[{', '.join(page)}]\n".encode(),
            job_id,
        )
        for number, page in enumerate(pages)
    ]


def picture_entry(name: str, path: Path, job_id: int, limit: int) -> ZipEntry | None:
    """Return a picture's file, as WebP if the PNG is over ``limit``. None if it is gone or cannot be made to fit."""
    room = min(limit, FILE_LIMIT) - 2 * len(name) - _ENTRY_BYTES - _END_BYTES
    try:
        data, suffix = shrink(path.read_bytes(), room)
    except (OSError, ValueError):
        return None
    return ZipEntry(str(Path(name).with_suffix(f".{suffix}")), data, job_id)
