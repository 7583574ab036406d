"""Decodes images that members upload: any bytes become pixels, or a :class:`Refusal`.

All input is treated as hostile. This process reads only the first bytes, to tell the kind of image. A child process
(:mod:`bot.media.decoding`) with limits on memory and time decodes it, and every number in its answer is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from dataclasses import dataclass, field

import structlog

from bot.errors import Refusal
from bot.media.child_processes import KILLED, reap
from bot.media.confinement import ALL, Protection
from bot.media.decoding import DONE, HEADER, READY, STARTED, TEXT_FIELDS, Verdict, command
from bot.media.embedded_text import TEXT_LIMIT
from zimage_engine.types import RawImage

log = structlog.get_logger(__name__)

_PER_MEMBER = 2
_CHILDREN_MAX = 3
_START_SECONDS = 20.0
_CHUNK = 2**20

_PIXEL_LIMITS = {"WEBP": 14_000_000, "AVIF": 20_000_000}
"""Limits for kinds whose decoders hold several copies of the image, so that they fit into the default memory."""

_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_BRANDS_READ = 256

_EMPTY = "That file is empty; please send the picture again."
_HEIC = "That is a HEIC photo, which I cannot open; please send it as JPEG or PNG."
_UNKNOWN = "I cannot open that file; please send a PNG, JPEG, WebP, GIF, AVIF, BMP or TIFF."
_UNREADABLE = "I cannot open that picture: it is damaged or unusual. Please save it as PNG or JPEG and send that."
_TOO_HEAVY = "That picture takes too much memory to open; please save it as PNG or JPEG, or smaller, and send that."
_TOO_SLOW = "That picture takes too long to open; please save it as PNG or JPEG, or smaller, and send that."
_TOO_MANY = "I am still opening two pictures of yours; please try again when that is done."


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image as it is shown: upright, in sRGB, on white where it is transparent.

    ``alpha`` has ``height · width`` bytes, rows from the top, 255 = opaque; None if the whole image is opaque. ``text``
    holds the texts "parameters" and "zimage" of a PNG or WebP, as far as it has them, of at most 64 KiB each. Neither
    is to be trusted.
    """

    image: RawImage
    alpha: bytes | None = field(repr=False)
    text: dict[str, str]


class ImageReader:
    """Decodes images in child processes, at most three at a time; further calls wait.

    ``limit_bytes`` and ``limit_pixels`` bound the image. ``seconds`` bounds the time of a child once it has started,
    ``memory`` the bytes that it allocates after that, on platforms that can enforce it.
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
        self._slots = asyncio.Semaphore(_CHILDREN_MAX)
        self._reads_by_member: Counter[int] = Counter()

    async def read(self, data: bytes, member: int) -> DecodedImage:
        """Return the image in these bytes.

        Raises :class:`Refusal` if they are no image within the limits, or if two images of the member are being read.
        """
        if len(data) > self.limit_bytes:
            raise too_many_bytes(len(data), self.limit_bytes)
        kind = image_kind(data)
        if self._reads_by_member[member] >= _PER_MEMBER:
            raise Refusal(_TOO_MANY)
        self._reads_by_member[member] += 1
        try:
            async with self._slots:
                return await self._decode(kind, data)
        finally:
            self._reads_by_member[member] -= 1
            if not self._reads_by_member[member]:
                del self._reads_by_member[member]

    async def _decode(self, kind: str, data: bytes) -> DecodedImage:
        limit_pixels = min(self._limit_pixels, _PIXEL_LIMITS.get(kind, self._limit_pixels))
        process = await asyncio.create_subprocess_exec(
            *command(kind, limit_pixels, self._memory, math.ceil(self._seconds) + 1),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=_CHUNK,
            # This process's environment holds the bot's token, which the child must not see.
            env={},
            # A process group of its own is killed whole, whatever the child may have started.
            start_new_session=True,
        )
        try:
            return await self._exchange(process, data, kind, limit_pixels)
        except TimeoutError:
            log.warning("image_too_slow", kind=kind, size=len(data))
            raise Refusal(_TOO_SLOW) from None
        finally:
            await reap(process)
            if process.returncode not in (0, KILLED):
                log.warning("decoder_died", kind=kind, size=len(data), returncode=process.returncode)

    async def _exchange(self, process: Process, data: bytes, kind: str, limit_pixels: int) -> DecodedImage:
        """Send the bytes to the child and return the image it answers with.

        Raises TimeoutError if the child takes too long, :class:`Refusal` if it finds no image.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            try:
                ready, held = STARTED.unpack(await process.stdout.readexactly(STARTED.size))
            except asyncio.IncompleteReadError:
                raise RuntimeError("the decoder does not start") from None
        if ready != READY:
            raise RuntimeError("the decoder does not start")
        _tell_what_is_missing(Protection(held))
        try:
            async with asyncio.timeout(self._seconds):
                received, _ = await asyncio.gather(
                    _receive_image(process.stdout, kind, limit_pixels), _send_bytes(process.stdin, data)
                )
                return received
        except (asyncio.IncompleteReadError, UnicodeDecodeError) as error:
            raise Refusal(_UNREADABLE) from error


@functools.cache
def _tell_what_is_missing(held: Protection) -> None:
    """Log, once, which protections of decoder children this system does not have."""
    if missing := ALL & ~held:
        log.info("decoder_less_protected", missing=[each.name for each in missing])


async def _send_bytes(stream: asyncio.StreamWriter, data: bytes) -> None:
    """Write the bytes and close the stream. Ignores a broken pipe: the child's missing answer tells of it."""
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), _CHUNK):
            stream.write(data[start : start + _CHUNK])
            await stream.drain()
        stream.write_eof()


async def _receive_image(stream: asyncio.StreamReader, kind: str, limit_pixels: int) -> DecodedImage:
    """Read and check the child's answer. Reads no more than a valid answer has, for the child may be compromised.

    Raises :class:`Refusal` if the answer is no image.
    """
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
    rgb = await _read_up_to(stream, 3 * pixels)
    if len(rgb) < 3 * pixels:
        raise Refusal(_UNREADABLE)
    alpha = await _read_up_to(stream, pixels + len(DONE))
    if alpha == DONE:
        return DecodedImage(RawImage(width, height, rgb), None, text)
    if len(alpha) <= pixels or await stream.read(len(DONE)):
        raise Refusal(_UNREADABLE)
    return DecodedImage(RawImage(width, height, rgb), alpha[:pixels], text)


async def _read_up_to(stream: asyncio.StreamReader, size: int) -> bytes:
    """Return ``size`` bytes, or fewer at the end of the stream."""
    chunks = []
    while size and (chunk := await stream.read(min(size, _CHUNK))):
        chunks.append(chunk)
        size -= len(chunk)
    # In a thread, because joining 70 MB would block the event loop.
    return await asyncio.to_thread(b"".join, chunks)


def image_kind(data: bytes) -> str:
    """Return the kind of image by its first bytes, as Pillow names it.

    Raises :class:`Refusal` if the kind is not supported.
    """
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
    """Return the brands of an ISO media file (AVIF, HEIC, MP4 …); none for any other file."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), _BRANDS_READ)
    return {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}


def too_many_bytes(size: int, limit: int) -> Refusal:
    """Return the refusal of a file of ``size`` bytes; ``limit`` are allowed."""
    return Refusal(
        f"That file has {size / 2**20:.1f} MB, and I open up to {limit / 2**20:g} MB; please send a smaller one."
    )


def _too_many_pixels(kind: str, limit: int) -> Refusal:
    advice = "make it smaller, or save it as PNG or JPEG," if kind in _PIXEL_LIMITS else "make it smaller"
    return Refusal(
        f"That picture has more than the {limit / 1e6:g} million pixels I can open; please {advice} and send it again."
    )
