"""Previews of running images, as one file for the progress card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from zimage_engine.types import RawImage

_LONG_SIDE = 256
_QUALITY = 75


def preview_sheet(previews: Sequence[RawImage]) -> bytes:
    """Return the previews as one WebP of some 10 kB, two to a row. Blocks."""
    tiles = [_tile(preview) for preview in previews]
    columns = min(2, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width, height = tiles[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    buffer = BytesIO()
    sheet.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()


def _tile(preview: RawImage) -> Image.Image:
    """Return a preview, which may have one pixel a latent or be as large as the image, with a side of 256 pixels."""
    scale = _LONG_SIDE / max(preview.width, preview.height)
    size = (round(preview.width * scale), round(preview.height * scale))
    return preview.to_pil().resize(size, Image.Resampling.BICUBIC)
