"""Originals: the images that edits start from, at the edit's size, on disk under a hash of their pixels.

An edit can be generated again as long as its original is kept. Unless they are async, functions block: call them in an
executor.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bot.errors import Refusal
from bot.media.files import write_file
from bot.media.resizing import Fit, fit_image, fit_mask
from bot.media.untrusted_images import DecodedImage
from zimage_engine.pixels import to_png
from zimage_engine.profiles import ModelProfile, Size, check_mask
from zimage_engine.types import ImageRequest, RawImage

_NAME = re.compile(r"[0-9a-f]{32}")
_GONE = "The picture that this was made from is no longer kept: give it again with /edit and its image option."


@dataclass(frozen=True, slots=True)
class Original:
    """What an edit starts from.

    ``image`` has the spec's size. ``mask`` has a byte per pixel, rows from the top: from 128 on the pixel is generated
    anew, below it is kept. None: the whole image is.
    """

    image: RawImage
    mask: bytes | None = None

    @property
    def name(self) -> str:
        """The name of the image's file: a hash of its pixels."""
        return _fingerprint(self.picture)

    @property
    def picture(self) -> Image.Image:
        return self.image.to_pil()

    @property
    def size(self) -> Size:
        return Size(self.image.width, self.image.height)

    def resized(self, size: Size) -> Original:
        """Return the same at another size; what does not fit into it is cut off. Blocks."""
        mask = None if self.mask_picture is None else DecodedImage(_raw(self.mask_picture), None, {})
        return fit_original(DecodedImage(self.image, None, {}), mask, size, None)

    @property
    def mask_picture(self) -> Image.Image | None:
        return None if self.mask is None else Image.frombytes("L", (self.image.width, self.image.height), self.mask)

    def check(self, profile: ModelProfile, strength: float) -> None:
        """Raise :class:`InvalidRequest` unless the model can edit the image with this mask and strength."""
        profile.check_edit(strength, masked=self.mask is not None)
        if self.mask is not None:
            check_mask(self.mask)

    def applied_to(self, request: ImageRequest) -> ImageRequest:
        """Return the request with the content of this image and mask; pixels outside the mask are kept."""
        mask = self.mask_picture
        return replace(
            request,
            original=to_png(self.picture),
            mask=None if mask is None else to_png(mask),
            keep_outside=mask is not None,
        )


def _raw(picture: Image.Image) -> RawImage:
    return RawImage(picture.width, picture.height, picture.convert("RGB").tobytes())


def fit_original(picture: DecodedImage, mask: DecodedImage | None, size: Size, fit: str | None) -> Original:
    """Return the picture and its mask at ``size``. ``fit`` is pad or crop, the default.

    Without ``mask`` the transparent part of the picture is the mask, if there is any.
    """
    how: Fit = "pad" if fit == "pad" else "crop"
    fitted = fit_image(picture, size, how)
    if mask is None:
        return Original(fitted.image, fitted.mask)
    original = (picture.image.width, picture.image.height)
    return Original(fitted.image, fit_mask(mask, original, size, how))


@dataclass(slots=True)
class Kept:
    """The names of an original's files, "" for no mask. Set ``needed`` once a row has them."""

    image: str
    mask: str
    needed: bool = False


@dataclass(slots=True)
class _Held:
    """A file that requests are being made of: ``new`` is whether it was written for them."""

    requests: int = 0
    new: bool = False
    needed: bool = False


class OriginalFolder:
    """Originals on disk, as PNG. Files of the same pixels are the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def keep(self, original: Original) -> tuple[str, str]:
        """Write the image and the mask; return their names for :meth:`load`, "" for no mask.

        Call :meth:`release` when a row has the names, or will not: :func:`keeping` does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        mask = original.mask_picture
        return self._write(original.picture), "" if mask is None else self._write(mask)

    def release(self, names: Iterable[str], *, needed: bool) -> None:
        """End what :meth:`keep` began. Files that were written for requests that all came to nothing are removed."""
        with self._lock:
            for name in filter(None, names):
                held = self._held[name]
                held.requests -= 1
                held.needed |= needed
                if not held.requests:
                    del self._held[name]
                    if held.new and not held.needed:
                        self._path(name).unlink(missing_ok=True)

    def drop(self, names: Iterable[str]) -> None:
        """Remove files that no row names any more, unless a request is being made of them."""
        with self._lock:
            for name in names:
                if (held := self._held.get(name)) is not None:
                    held.new = True
                else:
                    self._path(name).unlink(missing_ok=True)

    def load(self, image: str, mask: str = "") -> Original:
        """Return the original with these names. Raises :class:`Refusal` if a file is no longer there."""
        picture = self._read(image, "RGB")
        drawn = self._read(mask, "L").tobytes() if mask else None
        return Original(RawImage(picture.width, picture.height, picture.tobytes()), drawn)

    def check(self, image: str, mask: str = "") -> None:
        """Raise :class:`Refusal` if one of the files with these names is no longer there."""
        for name in filter(None, (image, mask)):
            if not self._path(name).is_file():
                raise Refusal(_GONE)

    def applied_to(self, request: ImageRequest, image: str, mask: str = "") -> ImageRequest:
        """Return the request with the paths of these files, which the engine reads when it begins the edit.

        Pixels outside the mask are kept. Does not block. Raises :class:`Refusal` if one is no name of a file.
        """
        masked = bool(mask)
        return replace(
            request, original=self._path(image), mask=self._path(mask) if masked else None, keep_outside=masked
        )

    def picture(self, image: str) -> bytes:
        """Return the PNG with this name. Raises :class:`Refusal` if it is no longer there."""
        try:
            return self._path(image).read_bytes()
        except OSError as error:
            raise Refusal(_GONE) from error

    def _write(self, picture: Image.Image) -> str:
        digest = _fingerprint(picture)
        path = self.folder / f"{digest}.png"
        with self._lock:
            held = self._held.setdefault(digest, _Held())
            held.requests += 1
            held.new |= not path.exists()
        try:
            with suppress(FileNotFoundError):
                os.utime(path)  # housekeeping deletes files by age
            if not _holds(path, digest):
                write_file(path, to_png(picture))
        except BaseException:
            self.release([digest], needed=False)
            raise
        return digest

    def _path(self, name: str) -> Path:
        """Return the path for a name. Only hashes are names: anything else could lead out of the folder."""
        if not _NAME.fullmatch(name):
            raise Refusal(_GONE)
        return self.folder / f"{name}.png"

    def _read(self, name: str, mode: str) -> Image.Image:
        try:
            with Image.open(self._path(name)) as picture:
                return picture.convert(mode)
        except OSError as error:
            raise Refusal(_GONE) from error


@asynccontextmanager
async def keeping(folder: OriginalFolder, original: Original) -> AsyncIterator[Kept]:
    """Write an original's files, and remove them again unless the block sets :attr:`Kept.needed`."""
    writing = asyncio.create_task(asyncio.to_thread(folder.keep, original))
    del original  # the block may last as long as a question is open
    kept: Kept | None = None
    try:
        kept = Kept(*await asyncio.shield(writing))
        yield kept
    finally:
        if kept is None:  # cancelled while they were written
            await asyncio.wait([writing])
        if not writing.cancelled() and writing.exception() is None:
            await asyncio.shield(
                asyncio.to_thread(folder.release, writing.result(), needed=kept is not None and kept.needed)
            )


def _holds(path: Path, digest: str) -> bool:
    """Return whether the file exists, undamaged and with the pixels that its name says: disks may change files."""
    try:
        with Image.open(path) as picture:
            picture.verify()  # the checksums, which the engine insists on
        with Image.open(path) as picture:
            return _fingerprint(picture) == digest
    except (OSError, SyntaxError):
        return False


def _fingerprint(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()[:32]
