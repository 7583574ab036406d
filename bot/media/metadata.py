"""Image files with their parameters: PNGs, and WebPs where a PNG is too large.

There is no time stamp: the same fields give the same bytes.
"""

from __future__ import annotations

import json
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bot.media.embedded_text import FIELD, PARAMETERS, embedded_text, exif_of
from zimage_engine.types import RawImage

NEGATIVE = "Negative prompt:"


def encode_png(image: RawImage, fields: dict[str, str | int | float], parameters: str) -> bytes:
    """Return the image as PNG with both text chunks. Blocks: call it in an executor."""
    info = PngInfo()
    info.add_text(PARAMETERS, parameters)
    info.add_text(FIELD, json.dumps(fields, ensure_ascii=False, sort_keys=True))
    buffer = BytesIO()
    image.to_pil().save(buffer, "PNG", pnginfo=info, compress_type=Image.RLE)
    return buffer.getvalue()


def read_fields(data: bytes) -> dict[str, object] | None:
    """Return the ``zimage`` fields of a PNG or WebP that we made; None if it has none."""
    with Image.open(BytesIO(data)) as picture:
        text = embedded_text(picture, picture.format).get(FIELD)
    if text is None:
        return None
    parsed = json.loads(text)
    return parsed if isinstance(parsed, dict) else None


def shrink(png: bytes, limit: int) -> tuple[bytes, str]:
    """Return an image file of at most ``limit`` bytes and its suffix: the PNG, else the best WebP that fits.

    The WebP has the PNG's parameters. Blocks: call it in an executor. Raises :class:`ValueError` if the WebP of the
    lowest quality is too large.
    """
    if len(png) <= limit:
        return png, "png"
    with Image.open(BytesIO(png)) as picture:
        text = embedded_text(picture, picture.format)
        if FIELD in text:
            text[FIELD] = json.dumps(json.loads(text[FIELD]), sort_keys=True)  # in ASCII
        exif = exif_of(text)
        for quality in (95, 90, 80, 65, 50, 30):
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=quality, method=4, exif=exif)
            if buffer.tell() <= limit:
                return buffer.getvalue(), "webp"
    raise ValueError(f"the picture does not fit into {limit} bytes")
