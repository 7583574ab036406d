"""Reads the original and the mask of an edit from their PNG files. Free of torch.

A waiting request holds a path or compressed bytes; the pixels are decoded when the edit begins.
"""

from __future__ import annotations

import logging
import struct
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from zimage_engine.profiles import Size, check_mask
from zimage_engine.types import ImageFile, ImageRequest, InvalidRequest, OriginalUnreadable, RawImage

log = logging.getLogger(__name__)

Part = Literal["image", "mask"]

_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is missing, damaged, or no PNG."""


def read_original(request: ImageRequest) -> RawImage:
    """Return the pixels of the image that the request changes. Blocks.

    Raises :class:`OriginalUnreadable` if the file is missing or damaged, and :class:`InvalidRequest` if its size is not
    the request's.
    """
    assert request.original is not None
    picture = _read(request.original, "image", Size(request.width, request.height)).convert("RGB")
    return RawImage(picture.width, picture.height, picture.tobytes())


def read_mask(request: ImageRequest) -> bytes:
    """Return the mask as ``height · width`` bytes, rows from the top. Blocks.

    Raises what :func:`read_original` raises, and :class:`InvalidRequest` if the mask marks nothing.
    """
    assert request.mask is not None
    mask = _read(request.mask, "mask", Size(request.width, request.height)).convert("L").tobytes()
    check_mask(mask)
    return mask


def to_png(picture: Image.Image) -> bytes:
    """Return a Pillow image as PNG: RGB for the ``original`` of an :class:`ImageRequest`, L for its ``mask``."""
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _read(file: ImageFile, part: Part, size: Size) -> Image.Image:
    try:
        data = file.read_bytes() if isinstance(file, Path) else file
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            found = Size(*picture.size)
            if found == size:
                picture.verify()  # the checksums: damaged pixels are often decoded without an error
        if found != size:
            raise InvalidRequest(f"The {part} must have exactly {size} pixels.")
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            picture.load()
            return picture
    except _DAMAGED as error:
        log.warning("the %s of an edit cannot be read: %r", part, error)
        raise OriginalUnreadable(f"The {part} of this edit is missing or damaged: please give it again.") from error
