"""Text on sheets and charts, in several fonts.

Pillow's built-in font has Latin letters and little else, so prompts in other scripts need fonts of the system. They
are searched for by file name in the system's font folders; the first one found is used:

- for Chinese, Japanese and most other scripts: Noto Sans CJK, WenQuanYi, PingFang, Hiragino Sans GB, Microsoft YaHei;
- for characters that neither that font nor the built-in one has: DejaVu Sans, Arial Unicode, Arial.

Each character is drawn with the first of the Chinese, the built-in and the other font that has it. If none has it, a
similar character is drawn (é as e, – as -), else "□". On Debian the package ``fonts-noto-cjk`` has a Chinese font.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont, load_default, truetype

from bot.media.palette import Colour

Names = tuple[tuple[str, int], ...]
"""File names of fonts, each with the index of the face in the file."""

# In Noto's collection the third face has the shapes of mainland China, the first those of Japan.
CHINESE: Names = (
    ("NotoSansCJK-Regular.ttc", 2),
    ("NotoSansCJK-VF.ttc", 2),
    ("NotoSansSC-Regular.otf", 0),
    ("wqy-microhei.ttc", 0),
    ("wqy-zenhei.ttc", 0),
    ("PingFang.ttc", 0),
    ("Hiragino Sans GB.ttc", 0),
    ("msyh.ttc", 0),
)
OTHER: Names = (("DejaVuSans.ttf", 0), ("Arial Unicode.ttf", 0), ("arial.ttf", 0))

_UNKNOWN = "□"
_SIMILAR = {"–": "-", "—": "-", "−": "-", "×": "x"}
# Measuring a prompt's 4,000 characters takes time, and no caption has room for so many.
_LENGTH_MAX = 400
_NEVER_FIRST = frozenset("，。、！？；：）」』》…")
_NO_CHARACTER = "\U0010ffff"


class FallbackFont:
    """A font of one size that takes each character from the first of several fonts that has it."""

    def __init__(self, size: int, chinese: Names = CHINESE, other: Names = OTHER) -> None:
        """``size`` in pixels, at least 1. Blocks: searches the disk for fonts."""
        built_in = load_default(size)
        assert isinstance(built_in, FreeTypeFont), "Pillow's wheels bring FreeType"
        found = (_first_font(chinese, size), built_in, _first_font(other, size))
        self._fonts = [font for font in found if font is not None]
        self._built_in = built_in
        self.size = size
        self.line_height = round(size * 1.3)

    def lines(self, text: str, width: float, most: int) -> list[str]:
        """Return the text in at most ``most`` lines of ``width`` pixels, cut with "…", for :meth:`draw`."""
        rest = self._drawable(text[:_LENGTH_MAX]) + ("…" if len(text) > _LENGTH_MAX else "")
        lines: list[str] = []
        while rest and len(lines) < most:
            end = self._line_end(rest, width)
            if end < len(rest) and len(lines) == most - 1:
                room = width - self.width("…")
                lines.append(rest[: self._fitting(rest, room)].rstrip() + "…")
                break
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        return lines

    def width(self, line: str) -> float:
        """Return the width of a line of :meth:`lines` in pixels."""
        return sum(font.getlength(part) for font, part in self._runs(line))

    def draw(self, canvas: ImageDraw.ImageDraw, at: tuple[float, float], line: str, colour: Colour) -> None:
        """Draw a line of :meth:`lines`; ``at`` is the upper left corner of its box, which is ``line_height`` high."""
        x, y = at
        baseline = round(y + self.size)
        for font, part in self._runs(line):
            canvas.text((round(x), baseline), part, fill=colour, font=font, anchor="ls")
            x += font.getlength(part)

    def _line_end(self, text: str, width: float) -> int:
        """Return the number of characters on the first line: whole words if one fits, at least one character."""
        end = self._fitting(text, width)
        breaks = (at for at in range(end, 0, -1) if _may_break(text, at))
        return next(breaks, end)

    def _fitting(self, text: str, width: float) -> int:
        """Return the number of characters that fit into ``width`` pixels, at least 1."""
        counts = range(1, len(text) + 1)
        return max(1, bisect_right(counts, width, key=lambda count: self.width(text[:count])))

    def _drawable(self, text: str) -> str:
        """Return the text in one line, without invisible characters and with characters that a font has."""
        drawn: list[str] = []
        for character in unicodedata.normalize("NFC", " ".join(text.split())):
            kind = unicodedata.category(character)
            if kind in ("Cc", "Cf", "Cs") or (kind.startswith("M") and self._font_of(character) is None):
                continue
            drawn.append(self._drawable_character(character))
        return "".join(drawn)

    def _drawable_character(self, character: str) -> str:
        """Return the character, a similar one, or "□": the first that a font has."""
        for candidate in (character, _SIMILAR.get(character), unicodedata.normalize("NFKD", character)[0]):
            if candidate is not None and self._font_of(candidate) is not None:
                return candidate
        return _UNKNOWN

    def _font_of(self, character: str) -> FreeTypeFont | None:
        return next((font for font in self._fonts if _has(font, character)), None)

    def _runs(self, line: str) -> Iterator[tuple[FreeTypeFont, str]]:
        """Yield the line in parts of one font each; spaces and marks stay with the character before them."""
        current, part = self._fonts[0], ""
        for character in line:
            mark = unicodedata.category(character).startswith("M") and _has(current, character)
            joins = part and (mark or character == " ")
            # A font that lacks "□" draws its own box for missing characters.
            font = current if joins else self._font_of(character) or self._built_in
            if part and font is not current:
                yield current, part
                part = ""
            current, part = font, part + character
        if part:
            yield current, part


@lru_cache(maxsize=16)
def fallback_font(size: int) -> FallbackFont:
    """Return the font of a size in pixels, with this system's fonts. Blocks: the first call searches the disk."""
    return FallbackFont(size)


def _first_font(names: Names, size: int) -> FreeTypeFont | None:
    for name, index in names:
        try:
            font = truetype(name, size, index)
        except OSError:
            continue  # not on this system
        return _regular(font)
    return None


def _regular(font: FreeTypeFont) -> FreeTypeFont:
    """Return the font at regular weight: a variable font opens at its thinnest."""
    try:
        names = font.get_variation_names()
    except OSError:
        return font
    if b"Regular" in names:
        font.set_variation_by_name(b"Regular")
    return font


@lru_cache(maxsize=8192)
def _has(font: FreeTypeFont, character: str) -> bool:
    """Return whether the font has a character. One that it lacks looks like one that no font has."""
    return _shape(font, character) != _shape(font, _NO_CHARACTER)


def _shape(font: FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes, float]:
    mask = font.getmask(character)
    return mask.size, bytes(mask), font.getlength(character)


def _may_break(text: str, at: int) -> bool:
    """Return whether a line may end before the character at ``at``: at a space, and around Chinese characters."""
    if at == len(text) or text[at] == " ":
        return True
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in text[at - 1 : at + 1])
    return wide and text[at] not in _NEVER_FIRST
