"""Other people's images: any bytes become safe pixels, or one sentence.

Everything that arrives is taken for hostile. Only a look at the first bytes happens in this process; they are decoded
in a child of its own (:mod:`bot.media.decoding`) with little memory and little time, and of what it answers every
number is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from dataclasses import dataclass, field

import structlog

from bot.errors import Refusal
from bot.media.decoding import DONE, HEADER, READY, TEXT_FIELDS, TEXT_LIMIT, Verdict
from zimage_engine.types import RawImage

log = structlog.get_logger(__name__)

_PER_MEMBER = 2
_AT_ONCE = 3
_START_SECONDS = 20.0
_GOING_SECONDS = 1.0
_PIECE = 2**20
_KILLED = 1 if sys.platform == "win32" else -signal.SIGKILL
"""The status of a child that was killed, by us or for want of memory."""

_PIXEL_LIMITS = {"WEBP": 14_000_000, "AVIF": 20_000_000}
"""Kinds whose decoders hold several copies of the picture, and how many pixels of them fit into the default memory."""

_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_BRANDS_READ = 256

_EMPTY = "That file is empty; please send the image again."
_HEIC = "That is a HEIC photo, which I cannot open; please send it as JPEG or PNG."
_UNKNOWN = "That file is no image I can open; please send a PNG, JPEG, WebP, GIF, AVIF, BMP or TIFF."
_UNREADABLE = "I cannot open that image: it is damaged or unusual. Please save it as PNG or JPEG and send that."
_TOO_HEAVY = "That image takes too much memory to open; please save it as PNG or JPEG, or smaller, and send that."
_TOO_SLOW = "That image takes too long to open; please save it as PNG or JPEG, or smaller, and send that."
_TOO_MANY = "I am still opening two images of yours; please try again when that is done."


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Somebody's image: upright, sRGB, what was transparent flattened onto white.

    ``alpha`` has ``height · width`` bytes, rows from the top, 255 = opaque; None where all of it is opaque. ``text``
    holds what a PNG says under "parameters" and "zimage", where it says it, of at most 64 kB each; as untrusted as
    everything else in it.
    """

    image: RawImage
    alpha: bytes | None = field(repr=False)
    text: dict[str, str]


class ImageReader:
    """Opens images in child processes: two at once for a member, three for everybody; the others wait.

    ``limit_bytes`` and ``limit_pixels`` are the largest image; ``seconds`` is how long a child may take once it has
    started, ``memory`` how many bytes it may take beyond what its start takes, where the platform can hold it to that.
    """

    def __init__(
        self,
        *,
        limit_bytes: int = 25 * 2**20,
        limit_pixels: int = 24_000_000,
        seconds: float = 2.0,
        memory: int = 270 * 2**20,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._limit_pixels = limit_pixels
        self._seconds = seconds
        self._memory = memory
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._of_member: Counter[int] = Counter()

    async def read(self, data: bytes, member: int) -> DecodedImage:
        """The image in these bytes; :class:`Refusal` where there is none that can be opened within the limits."""
        if len(data) > self.limit_bytes:
            raise too_many_bytes(len(data), self.limit_bytes)
        kind = image_kind(data)
        if self._of_member[member] >= _PER_MEMBER:
            raise Refusal(_TOO_MANY)
        self._of_member[member] += 1
        try:
            async with self._slots:
                return await self._decode(kind, data)
        finally:
            self._of_member[member] -= 1
            if not self._of_member[member]:
                del self._of_member[member]

    async def _decode(self, kind: str, data: bytes) -> DecodedImage:
        limit_pixels = min(self._limit_pixels, _PIXEL_LIMITS.get(kind, self._limit_pixels))
        limits = (limit_pixels, self._memory, math.ceil(self._seconds) + 1)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot.media.decoding", kind, *map(str, limits)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=_PIECE,
            # Not this process's environment: what decodes strangers' files need not hold the bot's token.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            return await self._converse(process, data, kind, limit_pixels)
        except TimeoutError:
            log.warning("image_too_slow", kind=kind, size=len(data))
            raise Refusal(_TOO_SLOW) from None
        finally:
            await _end(process)
            if process.returncode not in (0, _KILLED):
                log.warning("decoder_died", kind=kind, size=len(data), returncode=process.returncode)

    async def _converse(self, process: Process, data: bytes, kind: str, limit_pixels: int) -> DecodedImage:
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            if await process.stdout.read(len(READY)) != READY:
                raise RuntimeError("the decoder does not start")
        try:
            async with asyncio.timeout(self._seconds):
                answer = _receive(process.stdout, kind, limit_pixels)
                return (await asyncio.gather(answer, _feed(process.stdin, data)))[0]
        except (asyncio.IncompleteReadError, UnicodeDecodeError) as error:
            raise Refusal(_UNREADABLE) from error


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    """Hand the child the bytes; one that dies meanwhile is noticed by what it does not answer."""
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), _PIECE):
            stream.write(data[start : start + _PIECE])
            await stream.drain()
        stream.write_eof()


async def _receive(stream: asyncio.StreamReader, kind: str, limit_pixels: int) -> DecodedImage:
    """What the child answers. It has been among hostile bytes, so no more is read than a true answer has."""
    verdict, width, height, *lengths = HEADER.unpack(await stream.readexactly(HEADER.size))
    pixels = width * height
    if verdict != Verdict.IMAGE:
        await stream.read(len(DONE))
    if verdict == Verdict.TOO_LARGE:
        raise _too_many_pixels(kind, limit_pixels)
    if verdict == Verdict.TOO_HEAVY:
        raise Refusal(_TOO_HEAVY)
    if verdict != Verdict.IMAGE or not 0 < pixels <= limit_pixels or max(lengths) > TEXT_LIMIT:
        raise Refusal(_UNREADABLE)
    text = {
        name: (await stream.readexactly(length)).decode()
        for name, length in zip(TEXT_FIELDS, lengths, strict=True)
        if length
    }
    rgb = await _read(stream, 3 * pixels)
    if len(rgb) < 3 * pixels:
        raise Refusal(_UNREADABLE)
    alpha = await _read(stream, pixels + len(DONE))
    if alpha == DONE:
        return DecodedImage(RawImage(width, height, rgb), None, text)
    if len(alpha) <= pixels or await stream.read(len(DONE)):
        raise Refusal(_UNREADABLE)
    return DecodedImage(RawImage(width, height, rgb), alpha[:pixels], text)


async def _read(stream: asyncio.StreamReader, size: int) -> bytes:
    """So many bytes, or all there are. They are joined in a thread: 70 MB would hold up the event loop."""
    pieces = []
    while size and (piece := await stream.read(min(size, _PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return await asyncio.to_thread(b"".join, pieces)


async def _end(process: Process) -> None:
    """Wait until the child and its pipes are gone; kill it unless it goes by itself, whoever is cancelled meanwhile."""
    assert process.stdout is not None
    # At the end of its output it is about to go; to kill it at that moment would hide its status from asyncio.
    patience = _GOING_SECONDS if process.stdout.at_eof() else 0.0
    gone = asyncio.create_task(_gone(process, process.stdout))
    try:
        await asyncio.wait([gone], timeout=patience)
    finally:
        if not gone.done():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    await asyncio.shield(gone)


async def _gone(process: Process, stream: asyncio.StreamReader) -> None:
    while await stream.read(_PIECE):
        pass  # asyncio closes a pipe that has been read to its end
    await process.wait()


def image_kind(data: bytes) -> str:
    """The kind of image by its content, as Pillow names it; :class:`Refusal` where it is none that can be opened."""
    if not data:
        raise Refusal(_EMPTY)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    brands = _iso_brands(data)
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    raise Refusal(_HEIC if brands & _HEIF_BRANDS else _UNKNOWN)


def _iso_brands(data: bytes) -> set[bytes]:
    """What an ISO media file (AVIF, HEIC, MP4 …) says it is; empty for any other."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), _BRANDS_READ)
    return {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}


def too_many_bytes(size: int, limit: int) -> Refusal:
    """What to say about a file of ``size`` bytes where ``limit`` are allowed."""
    return Refusal(
        f"That file has {size / 2**20:.1f} MB, and I open up to {limit / 2**20:g} MB; please send a smaller one."
    )


def _too_many_pixels(kind: str, limit: int) -> Refusal:
    way_out = "make it smaller, or save it as PNG or JPEG," if kind in _PIXEL_LIMITS else "make it smaller"
    return Refusal(
        f"That image has more than the {limit / 1e6:g} million pixels I can open; please {way_out} and send it again."
    )
