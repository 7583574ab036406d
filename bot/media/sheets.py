"""Sheets that show several images: a comparison of two, and the family tree of edits.

Their background is dark, on Discord's dark and light themes alike. All functions block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageDraw, ImageOps

from bot.media import palette
from bot.media.family_layout import CARD, MARGIN, PADDING, THUMBNAIL, Box, Elbow, FamilyTree, Relative, nearest
from bot.media.fonts import fallback_font
from bot.media.palette import Colour
from bot.plurals import counted

__all__ = ["Relative", "compare_sheet", "family_sheet", "nearest"]

_SIDE_MAX = 1024
_HEIGHT_MIN = 512
_SHEET_SIDE_MAX = 4000
_SUPERSAMPLING = 4


def compare_sheet(before: bytes, after: bytes, caption_before: str, caption_after: str) -> bytes:
    """Return two pictures side by side at equal height, as PNG, each with up to two lines of caption under it.

    The height is the taller picture's, but at least 512 pixels; no side of either is longer than 1,024.
    """
    pictures = [_open(before), _open(after)]
    widest = max(picture.width / picture.height for picture in pictures)
    height = max(_HEIGHT_MIN, *(picture.height for picture in pictures))
    height = max(1, min(height, _SIDE_MAX, int(_SIDE_MAX / widest)))
    pictures = [_resized(picture, height) for picture in pictures]
    gap = max(4, height // 64)
    width = sum(picture.width for picture in pictures) + gap
    # A phone shows the sheet some 380 points wide, on which this font has 10 points.
    font = fallback_font(max(14, width // 38))
    edge = font.size // 2
    captions = [
        font.lines(text, picture.width - 2 * edge, 2)
        for text, picture in zip((caption_before, caption_after), pictures, strict=True)
    ]
    rows = max(len(lines) for lines in captions)
    sheet = Image.new("RGB", (width, height + (rows and edge + rows * font.line_height + edge)), palette.GROUND)
    drawing = ImageDraw.Draw(sheet)
    left = 0
    for picture, lines in zip(pictures, captions, strict=True):
        sheet.paste(picture, (left, 0))
        for row, line in enumerate(lines):
            font.draw(drawing, (left + edge, height + edge + row * font.line_height), line, palette.INK)
        left += picture.width + gap
    return _png(sheet)


def family_sheet(relatives: Sequence[Relative], more: int = 0) -> bytes:
    """Return the family of an image as PNG: a card for each relative, and arrows from parents to children.

    Takes at least one relative; ids are unique, and a parent that is not among them counts as none. Shows at most the
    40 relatives nearest to the marked one, and a line with the number of the others, to which ``more`` is added. No
    side is longer than 4,000 pixels.
    """
    drawn = nearest(relatives)
    tree = FamilyTree(drawn)
    hidden = len(relatives) - len(drawn) + more
    footer = 36 if hidden else 0
    scale = min(1.0, _SHEET_SIDE_MAX / tree.width, _SHEET_SIDE_MAX / (tree.height + footer))
    canvas = _SheetCanvas((tree.width, tree.height + footer), scale)
    for panel in tree.panels:
        canvas.rounded_box(panel, 12, palette.PANEL)
    for elbow in tree.elbows:
        canvas.arrow(elbow)
    for badge, letter in tree.badges:
        canvas.badge(badge, letter)
    for relative in drawn:
        canvas.card(relative, *tree.places[relative.id])
    if hidden:
        relatives_are = counted(hidden, "more relative is", "more relatives are")
        canvas.text(MARGIN, tree.height, f"{relatives_are} not shown.", tree.width - 2 * MARGIN, 18, palette.SHEET_NOTE)
    return _png(canvas.sheet)


class _SheetCanvas:
    """Draws on a sheet. Lengths are in pixels before the sheet is scaled."""

    def __init__(self, size: tuple[float, float], scale: float) -> None:
        self._scale = scale
        self.sheet = Image.new("RGB", (int(size[0] * scale), int(size[1] * scale)), palette.GROUND)
        self._drawing = ImageDraw.Draw(self.sheet)

    def _px(self, *lengths: float) -> tuple[int, ...]:
        return tuple(round(length * self._scale) for length in lengths)

    def rounded_box(self, box: Box, radius: float, colour: Colour) -> None:
        """Draw a filled rectangle with round corners."""
        left, top, right, bottom = self._px(*box)
        mask = _rounded_mask(right - left, bottom - top, self._px(radius)[0])
        self.sheet.paste(colour, (left, top), mask)

    def arrow(self, elbow: Elbow) -> None:
        """Draw a line that goes across, then up or down, then across again, with an arrowhead at its end."""
        x, y, turn, end_x, end_y = self._px(*elbow)
        thick = max(2, self._px(3)[0])
        head = max(6, self._px(12)[0])
        self._drawing.line(
            [(x, y), (turn, y), (turn, end_y), (end_x - head + 1, end_y)], palette.LINE, thick, joint="curve"
        )
        self.sheet.paste(palette.LINE, (end_x - head, end_y - head // 2), _arrowhead(head))

    def badge(self, box: Box, letter: str) -> None:
        """Draw a letter in a circle, which marks where a line continues."""
        self.rounded_box(box, (box[2] - box[0]) / 2, palette.LINE)
        font = fallback_font(self._px(16)[0])
        left, top, right, _ = self._px(*box)
        x = (left + right - font.width(letter)) / 2
        font.draw(self._drawing, (x, top + self._px(4)[0]), letter, palette.GROUND)

    def card(self, relative: Relative, x: float, y: float) -> None:
        """Draw a relative's thumbnail with its prompt and its note."""
        width, height = CARD
        if relative.marked:
            self.rounded_box((x - 5, y - 5, x + width + 5, y + height + 5), 14, palette.MARK)
        self.rounded_box((x, y, x + width, y + height), 10, palette.CARD)
        mat = (x + PADDING, y + PADDING, x + PADDING + THUMBNAIL, y + PADDING + THUMBNAIL)
        if relative.picture is None:
            self.rounded_box(mat, 4, palette.EMPTY)
            self._missing(mat, relative.missing)
        else:
            self.rounded_box(mat, 4, palette.MAT)
            self._thumbnail(relative.picture, mat)
        left, top = x + PADDING, y + PADDING + THUMBNAIL + 8
        top = self.text(left, top, relative.prompt, THUMBNAIL, 16, palette.INK, most=2)
        self.text(left, top + 2, relative.note, THUMBNAIL, 14, palette.SHEET_NOTE)

    def text(self, x: float, y: float, text: str, width: float, size: float, colour: Colour, most: int = 1) -> float:
        """Draw at most ``most`` lines of text. Returns the y at which a further line would stand."""
        font = fallback_font(self._px(size)[0])
        left, top, room = self._px(x, y, width)
        for line in font.lines(text, room, most):
            font.draw(self._drawing, (left, top), line, colour)
            top += font.line_height
        return top / self._scale

    def _thumbnail(self, picture: bytes, box: Box) -> None:
        left, top, right, bottom = self._px(*box)
        thumbnail = ImageOps.contain(_open(picture), (right - left, bottom - top), Image.Resampling.LANCZOS)
        across, down = (right - left - thumbnail.width) // 2, (bottom - top - thumbnail.height) // 2
        self.sheet.paste(thumbnail, (left + across, top + down))

    def _missing(self, box: Box, text: str) -> None:
        font = fallback_font(self._px(16)[0])
        left, top, right, bottom = self._px(*box)
        x = (left + right - font.width(text)) / 2
        font.draw(self._drawing, (x, (top + bottom - font.line_height) / 2), text, palette.INK)


def _open(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as picture:
        return picture.convert("RGB")


def _resized(picture: Image.Image, height: int) -> Image.Image:
    if picture.height == height:
        return picture
    width = max(1, math.floor(picture.width * height / picture.height + 0.5))
    return picture.resize((min(width, _SIDE_MAX), height), Image.Resampling.LANCZOS)


@lru_cache(maxsize=32)
def _rounded_mask(width: int, height: int, radius: int) -> Image.Image:
    """Return a mask of a rectangle with smooth round corners."""
    mask = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, width * _SUPERSAMPLING - 1, height * _SUPERSAMPLING - 1), radius * _SUPERSAMPLING, fill=255
    )
    return mask.resize((width, height), Image.Resampling.BOX)


@lru_cache(maxsize=8)
def _arrowhead(size: int) -> Image.Image:
    """Return a mask of an arrowhead that points to the right."""
    side = size * _SUPERSAMPLING
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([(0, 0), (side, side / 2), (0, side)], fill=255)
    return mask.resize((size, size), Image.Resampling.BOX)


def _png(sheet: Image.Image) -> bytes:
    buffer = BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
