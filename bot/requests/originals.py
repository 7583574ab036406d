"""The pictures that edits start from, kept by what they show: as long as one lies here its edits can be drawn again.

The functions block; a source's name is a hash of its pixels, so a picture that is edited often is kept once.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from PIL import Image

from bot.errors import Refusal
from bot.media.files import write_file
from bot.media.resizing import Fit, fit_image, fit_mask
from bot.media.untrusted_images import DecodedImage
from zimage_engine.profiles import Size
from zimage_engine.types import ImageRequest, RawImage

_NAME = re.compile(r"[0-9a-f]{32}")
_GONE = "The picture that this was made from is no longer kept: give it again with /edit and its image option."


@dataclass(frozen=True, slots=True)
class Original:
    """What an edit starts from: an image of the spec's size, and where to repaint it (from 128 on), if not all over."""

    image: RawImage
    mask: bytes | None = None

    @property
    def name(self) -> str:
        """A hash of the image's pixels, under which it is kept."""
        return _fingerprint(Image.frombytes("RGB", (self.image.width, self.image.height), self.image.data))

    def applied_to(self, request: ImageRequest) -> ImageRequest:
        """The request as an edit of this; outside a mask the picture stays as it is."""
        return replace(request, image=self.image, mask=self.mask, keep_outside=self.mask is not None)


def fit_original(picture: DecodedImage, mask: DecodedImage | None, size: Size, fit: str | None) -> Original:
    """The picture and its mask at exactly ``size``; a mask that was drawn goes before the picture's transparency."""
    how: Fit = "pad" if fit == "pad" else "crop"
    fitted = fit_image(picture, size, how)
    if mask is None:
        return Original(fitted.image, fitted.mask)
    original = (picture.image.width, picture.image.height)
    return Original(fitted.image, fit_mask(mask, original, size, how))


class OriginalFolder:
    """Sources on disk, as PNG."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, original: Original) -> tuple[str, str]:
        """The names of the image and of the mask ("" without one), under which :meth:`load` finds them again."""
        self.folder.mkdir(parents=True, exist_ok=True)
        size = (original.image.width, original.image.height)
        image = self._write(Image.frombytes("RGB", size, original.image.data))
        return image, self._write(Image.frombytes("L", size, original.mask)) if original.mask is not None else ""

    def load(self, image: str, mask: str = "") -> Original:
        """What was kept under these names; :class:`Refusal` where it is gone."""
        picture = self._read(image, "RGB")
        drawn = self._read(mask, "L").tobytes() if mask else None
        return Original(RawImage(picture.width, picture.height, picture.tobytes()), drawn)

    def picture(self, image: str) -> bytes:
        """The PNG that was kept under this name; :class:`Refusal` where it is gone."""
        try:
            return self._path(image).read_bytes()
        except OSError as error:
            raise Refusal(_GONE) from error

    def _write(self, picture: Image.Image) -> str:
        digest = _fingerprint(picture)
        path = self.folder / f"{digest}.png"
        try:
            os.utime(path)  # housekeeping leaves alone what was just asked for
        except FileNotFoundError:
            buffer = BytesIO()
            picture.save(buffer, "PNG", compress_level=6)
            write_file(path, buffer.getvalue())
        return digest

    def _path(self, name: str) -> Path:
        """Names are our own hashes; anything else, whoever brought it, is no file here."""
        if not _NAME.fullmatch(name):
            raise Refusal(_GONE)
        return self.folder / f"{name}.png"

    def _read(self, name: str, mode: str) -> Image.Image:
        try:
            with Image.open(self._path(name)) as picture:
                return picture.convert(mode)
        except OSError as error:
            raise Refusal(_GONE) from error


def _fingerprint(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()[:32]
