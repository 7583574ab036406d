"""ZIP files that keep within a size, filled entry by entry. Everything here blocks."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from bot.media.metadata import shrink
from bot.store.exports import Readable

MESSAGE_FILE_LIMIT = 10 * 2**20
"""The largest file in bytes that Discord takes in an ordinary message anywhere."""

_END_BYTES = 64
_ENTRY_BYTES = 160
"""More than what a ZIP adds for each entry besides its name, twice, and its data."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file to pack; ``job_id`` is the job it belongs to."""

    name: str
    data: bytes
    job_id: int = 0

    @property
    def most_bytes(self) -> int:
        """What it takes in a ZIP at most."""
        return len(self.data) + 2 * len(self.name.encode()) + _ENTRY_BYTES


class ZipPacker:
    """Fills one ZIP after the other, in memory, one at a time."""

    def __init__(self) -> None:
        self._begin()

    def add(self, entry: ZipEntry, limit: int) -> bytes | None:
        """Put an entry in. Where it would pass ``limit`` bytes: the ZIP as it was, and the entry begins the next."""
        full = None
        if self._bytes + entry.most_bytes > limit and self._bytes > _END_BYTES:
            full = self.finish()
        # Pictures are compressed already: deflating them again makes them longer.
        kind = zipfile.ZIP_DEFLATED if entry.name.endswith(".json") else zipfile.ZIP_STORED
        self._zip.writestr(entry.name, entry.data, kind)
        self._bytes += entry.most_bytes
        return full

    def finish(self) -> bytes:
        """The ZIP as it is; the next entry begins another."""
        self._zip.close()
        data = self._buffer.getvalue()
        self._begin()
        return data

    def _begin(self) -> None:
        self._buffer = BytesIO()
        self._zip = zipfile.ZipFile(self._buffer, "w")
        self._bytes = _END_BYTES


def split(part: bytes, limit: int) -> Iterator[bytes]:
    """The same as smaller ZIPs, for a way that takes less."""
    if len(part) <= limit:
        yield part
        return
    packer = ZipPacker()
    with zipfile.ZipFile(BytesIO(part)) as whole:
        for name in whole.namelist():
            full = packer.add(ZipEntry(name, whole.read(name)), limit)
            if full is not None:
                yield full
    yield packer.finish()


def json_entries(title: str, rows: Sequence[Readable], job_id: int, limit: int) -> list[ZipEntry]:
    """Rows as JSON, in as many files as keep each well within ``limit`` bytes."""
    pages: list[list[str]] = [[]]
    room = most = min(limit, MESSAGE_FILE_LIMIT) // 2
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, indent=1)
        if len(text.encode()) > room and pages[-1]:
            pages.append([])
            room = most
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
    """A picture's file, as WebP where the PNG alone is too large; None where it is gone."""
    room = min(limit, MESSAGE_FILE_LIMIT) - 2 * len(name) - _ENTRY_BYTES - _END_BYTES
    try:
        data, suffix = shrink(path.read_bytes(), room)
    except (OSError, ValueError):
        return None
    return ZipEntry(str(Path(name).with_suffix(f".{suffix}")), data, job_id)
