"""Contact sheets: several pictures with numbers, from which a member picks one. All functions block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image, ImageDraw, ImageOps

from bot.media import palette
from bot.media.fonts import FallbackFont, fallback_font

CONTACTS_MAX = 9
_COLUMNS = 3
_TILE = 320
_GAP = 12
_BADGE = 64
_CAPTION_LINES = 2
_CAPTION_SIZE = 24
"""A phone shows three tiles some 380 points wide, on which this font has 9 points."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A picture on a contact sheet. ``picture`` is its thumbnail, a PNG or WebP; None if its file is gone."""

    caption: str
    picture: bytes | None = field(repr=False)


def contact_sheet(contacts: Sequence[Contact]) -> bytes:
    """Return one to nine pictures as PNG, numbered from 1, each with up to two lines of caption under it.

    At most three pictures are side by side, so that a phone shows each of them large enough.
    """
    assert 1 <= len(contacts) <= CONTACTS_MAX
    columns = _columns(len(contacts))
    rows = math.ceil(len(contacts) / columns)
    font = fallback_font(_CAPTION_SIZE)
    cell_height = _TILE + _GAP // 2 + _CAPTION_LINES * font.line_height
    size = (columns * (_TILE + _GAP) + _GAP, rows * (cell_height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, palette.GROUND)
    drawing = ImageDraw.Draw(sheet)
    for index, contact in enumerate(contacts):
        left = _GAP + index % columns * (_TILE + _GAP)
        top = _GAP + index // columns * (cell_height + _GAP)
        _add_tile(sheet, drawing, contact.picture, left, top)
        _add_badge(drawing, str(index + 1), left, top)
        for row, line in enumerate(font.lines(contact.caption, _TILE, _CAPTION_LINES)):
            font.draw(drawing, (left, top + _TILE + _GAP // 2 + row * font.line_height), line, palette.INK)
    buffer = BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _columns(count: int) -> int:
    """Return how many pictures are side by side: four are shown two by two."""
    return 2 if count == 4 else min(count, _COLUMNS)


def _add_tile(sheet: Image.Image, drawing: ImageDraw.ImageDraw, picture: bytes | None, left: int, top: int) -> None:
    box = (left, top, left + _TILE - 1, top + _TILE - 1)
    if picture is None:
        drawing.rectangle(box, palette.EMPTY)
        font = fallback_font(_CAPTION_SIZE)
        _centred(drawing, font, "no longer kept", left + _TILE // 2, top + _TILE // 2)
        return
    drawing.rectangle(box, palette.MAT)
    small = _opened(picture, _TILE)
    sheet.paste(small, (left + (_TILE - small.width) // 2, top + (_TILE - small.height) // 2))


def _add_badge(drawing: ImageDraw.ImageDraw, number: str, left: int, top: int) -> None:
    """Draw the number in the upper left corner, on a ground of its own so that it is readable on any picture."""
    drawing.rectangle((left, top, left + _BADGE - 1, top + _BADGE - 1), palette.GROUND)
    _centred(drawing, fallback_font(_BADGE * 2 // 3), number, left + _BADGE // 2, top + _BADGE // 2)


def _centred(drawing: ImageDraw.ImageDraw, font: FallbackFont, text: str, x: int, y: int) -> None:
    font.draw(drawing, (x - font.width(text) / 2, y - font.line_height / 2), text, palette.INK)


def _opened(picture: bytes, side: int) -> Image.Image:
    """Return the picture, scaled down so that it fits into a square of ``side`` pixels."""
    with Image.open(BytesIO(picture)) as opened:
        rgb = opened.convert("RGB")
    return ImageOps.contain(rgb, (side, side), Image.Resampling.LANCZOS)
