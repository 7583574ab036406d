"""Pictures that the bot draws about pictures: a comparison of two, and a family tree of edits.

They have a dark ground of their own and so look the same on Discord's dark and light themes. Everything here blocks:
run it in an executor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

from PIL import Image, ImageDraw, ImageOps

from bot.media import palette
from bot.media.family_layout import CARD, MARGIN, PADDING, THUMBNAIL, Box, Elbow, FamilyTree, Relative, nearest
from bot.media.fonts import FallbackFont, fallback_font
from bot.media.palette import Colour

__all__ = ["Relative", "compare_sheet", "family_sheet"]

_LONGEST_SIDE = 1024
_SHORTEST_SIDE = 512
_SHEET_LIMIT = 4000
_SMOOTHING = 4


def compare_sheet(before: bytes, after: bytes, caption_before: str, caption_after: str) -> bytes:
    """Two pictures side by side at equal height, as PNG, each with up to two lines of caption under it.

    The height is the taller picture's, but at least 512 pixels; no side of either passes 1,024.
    """
    pictures = [_open(before), _open(after)]
    widest = max(picture.width / picture.height for picture in pictures)
    height = max(_SHORTEST_SIDE, *(picture.height for picture in pictures))
    height = max(1, min(height, _LONGEST_SIDE, int(_LONGEST_SIDE / widest)))
    pictures = [_resized(picture, height) for picture in pictures]
    gap = max(4, height // 64)
    width = sum(picture.width for picture in pictures) + gap
    # A phone shows the sheet some 380 points wide: this comes to 10 points there.
    letters = fallback_font(max(14, width // 38))
    edge = letters.size // 2
    captions = [
        letters.lines(text, picture.width - 2 * edge, 2)
        for text, picture in zip((caption_before, caption_after), pictures, strict=True)
    ]
    rows = max(len(lines) for lines in captions)
    sheet = Image.new("RGB", (width, height + (rows and edge + rows * letters.line_height + edge)), palette.GROUND)
    canvas = ImageDraw.Draw(sheet)
    left = 0
    for picture, lines in zip(pictures, captions, strict=True):
        sheet.paste(picture, (left, 0))
        for row, line in enumerate(lines):
            letters.draw(canvas, (left + edge, height + edge + row * letters.line_height), line, palette.INK)
        left += picture.width + gap
    return _png(sheet)


def family_sheet(relatives: Sequence[Relative]) -> bytes:
    """The family of an image as PNG: a card for each relative, arrows from parent to child, the marked one framed.

    At least one relative; ids are unique. A parent that is not among them counts as none. At most the 40 nearest to
    the marked one are drawn, and a line says how many are left out. No side passes 4,000 pixels.
    """
    drawn = nearest(relatives)
    tree = FamilyTree(drawn)
    hidden = len(relatives) - len(drawn)
    footer = 36 if hidden else 0
    scale = min(1.0, _SHEET_LIMIT / tree.width, _SHEET_LIMIT / (tree.height + footer))
    artist = _Artist((tree.width, tree.height + footer), scale)
    for panel in tree.panels:
        artist.slab(panel, 12, palette.PANEL)
    for elbow in tree.elbows:
        artist.arrow(elbow)
    for badge, letter in tree.badges:
        artist.badge(badge, letter)
    for relative in drawn:
        artist.card(relative, *tree.places[relative.id])
    if hidden:
        relatives_are = "1 more relative is" if hidden == 1 else f"{hidden} more relatives are"
        artist.words(
            MARGIN, tree.height, f"{relatives_are} not shown.", tree.width - 2 * MARGIN, 18, palette.SHEET_NOTE
        )
    return _png(artist.sheet)


class _Artist:
    """Draws on a sheet whose measures are given at full scale."""

    def __init__(self, size: tuple[float, float], scale: float) -> None:
        self._scale = scale
        self.sheet = Image.new("RGB", (int(size[0] * scale), int(size[1] * scale)), palette.GROUND)
        self._canvas = ImageDraw.Draw(self.sheet)

    def _px(self, *lengths: float) -> tuple[int, ...]:
        return tuple(round(length * self._scale) for length in lengths)

    def slab(self, box: Box, radius: float, colour: Colour) -> None:
        """A rectangle with round corners."""
        left, top, right, bottom = self._px(*box)
        mask = _rounded(right - left, bottom - top, self._px(radius)[0])
        self.sheet.paste(colour, (left, top), mask)

    def arrow(self, elbow: Elbow) -> None:
        """From one point to another, across, then up or down, then across; with a head where it ends."""
        x, y, turn, end_x, end_y = self._px(*elbow)
        thick = max(2, self._px(3)[0])
        head = max(6, self._px(12)[0])
        self._canvas.line(
            [(x, y), (turn, y), (turn, end_y), (end_x - head + 1, end_y)], palette.LINE, thick, joint="curve"
        )
        self.sheet.paste(palette.LINE, (end_x - head, end_y - head // 2), _head(head))

    def badge(self, box: Box, letter: str) -> None:
        """A letter in a circle, which says where a line goes on."""
        self.slab(box, (box[2] - box[0]) / 2, palette.LINE)
        letters = fallback_font(self._px(16)[0])
        left, top, right, _ = self._px(*box)
        x = (left + right - letters.width(letter)) / 2
        letters.draw(self._canvas, (x, top + self._px(4)[0]), letter, palette.GROUND)

    def card(self, relative: Relative, x: float, y: float) -> None:
        """A relative's thumbnail with its prompt and its note."""
        width, height = CARD
        if relative.marked:
            self.slab((x - 5, y - 5, x + width + 5, y + height + 5), 14, palette.MARK)
        self.slab((x, y, x + width, y + height), 10, palette.CARD)
        mat = (x + PADDING, y + PADDING, x + PADDING + THUMBNAIL, y + PADDING + THUMBNAIL)
        if relative.picture is None:
            self.slab(mat, 4, palette.EMPTY)
            self._missing(mat, relative.missing)
        else:
            self.slab(mat, 4, palette.MAT)
            self._thumbnail(relative.picture, mat)
        left, top = x + PADDING, y + PADDING + THUMBNAIL + 8
        top = self.words(left, top, relative.prompt, THUMBNAIL, 16, palette.INK, most=2)
        self.words(left, top + 2, relative.note, THUMBNAIL, 14, palette.SHEET_NOTE)

    def words(self, x: float, y: float, text: str, width: float, size: float, colour: Colour, most: int = 1) -> float:
        """Lines from (x, y) on; where the next would stand."""
        letters = fallback_font(self._px(size)[0])
        left, top, room = self._px(x, y, width)
        for line in letters.lines(text, room, most):
            letters.draw(self._canvas, (left, top), line, colour)
            top += letters.line_height
        return top / self._scale

    def _thumbnail(self, picture: bytes, box: Box) -> None:
        left, top, right, bottom = self._px(*box)
        thumbnail = ImageOps.contain(_open(picture), (right - left, bottom - top), Image.Resampling.LANCZOS)
        across, down = (right - left - thumbnail.width) // 2, (bottom - top - thumbnail.height) // 2
        self.sheet.paste(thumbnail, (left + across, top + down))

    def _missing(self, box: Box, text: str) -> None:
        letters: FallbackFont = fallback_font(self._px(16)[0])
        left, top, right, bottom = self._px(*box)
        x = (left + right - letters.width(text)) / 2
        letters.draw(self._canvas, (x, (top + bottom - letters.line_height) / 2), text, palette.INK)


def _open(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as picture:
        return picture.convert("RGB")


def _resized(picture: Image.Image, height: int) -> Image.Image:
    if picture.height == height:
        return picture
    width = max(1, math.floor(picture.width * height / picture.height + 0.5))
    return picture.resize((min(width, _LONGEST_SIDE), height), Image.Resampling.LANCZOS)


@lru_cache(maxsize=32)
def _rounded(width: int, height: int, radius: int) -> Image.Image:
    """A mask with smooth round corners."""
    mask = Image.new("L", (width * _SMOOTHING, height * _SMOOTHING))
    ImageDraw.Draw(mask).rounded_rectangle(
        (0, 0, width * _SMOOTHING - 1, height * _SMOOTHING - 1), radius * _SMOOTHING, fill=255
    )
    return mask.resize((width, height), Image.Resampling.BOX)


@lru_cache(maxsize=8)
def _head(size: int) -> Image.Image:
    """A mask of an arrow's head that points to the right."""
    side = size * _SMOOTHING
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([(0, 0), (side, side / 2), (0, side)], fill=255)
    return mask.resize((size, size), Image.Resampling.BOX)


def _png(sheet: Image.Image) -> bytes:
    buffer = BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
