"""Pixels of results between processes, through shared memory instead of a pipe."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.shared_memory import SharedMemory

from zimage_engine.types import PlanResult, RawImage

log = logging.getLogger(__name__)

_SLOTS = 2
"""Plans that may be launched and not be recorded at a time."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A result without the pixels that are in shared memory: ``places`` holds their offsets by kind and request id."""

    result: PlanResult
    places: Mapping[tuple[str, str], int]


class SharedPixels:
    """A block of shared memory with two slots of ``size`` bytes, which results use in turns.

    The process that creates it calls :meth:`close` with ``unlink``; the other one opens it by ``name``. Where the
    machine has no room for the block, ``size`` is 0, and all pixels stay in the results.
    """

    def __init__(self, size: int, name: str | None = None) -> None:
        self._memory = _reserve(_SLOTS * size) if name is None else _attach(name)
        self.size = 0 if self._memory is None else size
        self._count = 0

    @property
    def name(self) -> str:
        """The name to open it by; empty if there is no block."""
        return "" if self._memory is None else self._memory.name

    def pack(self, result: PlanResult) -> Packed:
        """Move the result's pixels to the next slot; those that do not fit into it stay in the result."""
        start, buffer = self._next_slot(), self._buffer()
        used, places = 0, dict[tuple[str, str], int]()
        for kind, name, image in _images(result):
            if used + len(image.data) <= self.size:
                buffer[start + used : start + used + len(image.data)] = image.data
                places[kind, name] = start + used
                used += len(image.data)
        return Packed(_with_pixels(result, dict.fromkeys(places, b"")), places)

    def unpack(self, packed: Packed) -> PlanResult:
        """Return the result with its pixels; call it once for each result, in their order."""
        self._next_slot()
        buffer, pixels = self._buffer(), {}
        for kind, name, image in _images(packed.result):
            if (start := packed.places.get((kind, name))) is not None:
                pixels[kind, name] = bytes(buffer[start : start + 3 * image.width * image.height])
        return _with_pixels(packed.result, pixels)

    def close(self, *, unlink: bool = False) -> None:
        """Detach from the memory; with ``unlink`` it is freed."""
        if self._memory is not None:
            self._memory.close()
            if unlink:
                self._memory.unlink()

    def _buffer(self) -> memoryview:
        if self._memory is None:
            return memoryview(b"")
        buffer = self._memory.buf
        assert buffer is not None, "closed"
        return buffer

    def _next_slot(self) -> int:
        self._count += 1
        return self._count % _SLOTS * self.size


def _attach(name: str) -> SharedMemory | None:
    return SharedMemory(name) if name else None


def _reserve(size: int) -> SharedMemory | None:
    """Return a new block whose memory is reserved, so that writing to it cannot fail; None if there is no room.

    Writing to a block that was not reserved ends the process where /dev/shm is full: in containers it is often small.
    """
    memory = None
    try:
        memory = SharedMemory(create=True, size=size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(memory._fd, 0, size)  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public knows it
    except OSError as error:
        if memory is not None:
            memory.close()
            memory.unlink()
        log.warning("no shared memory (%s): pictures come through a pipe, which takes somewhat longer", error)
        return None
    return memory


def _images(result: PlanResult) -> Iterator[tuple[str, str, RawImage]]:
    for kind in ("images", "previews"):
        for name, image in getattr(result, kind).items():
            yield kind, name, image


def _with_pixels(result: PlanResult, pixels: Mapping[tuple[str, str], bytes]) -> PlanResult:
    """Return the result with other bytes in these of its images."""
    images, previews = dict(result.images), dict(result.previews)
    for (kind, name), data in pixels.items():
        holder = images if kind == "images" else previews
        holder[name] = replace(holder[name], data=data)
    return replace(result, images=images, previews=previews)
