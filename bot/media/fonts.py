"""Words on the pictures that the bot draws.

Pillow's built-in font knows English letters and little else, so prompts in other scripts need a font of the system.
These are looked for by name in the places where systems keep fonts, and the first one found counts:

- for Chinese, Japanese and most other scripts: Noto Sans CJK, WenQuanYi, PingFang, Hiragino Sans GB, Microsoft YaHei;
- for what neither that one nor the built-in one has: DejaVu Sans, Arial Unicode, Arial.

Each character is drawn with the first of the Chinese, the built-in and the other font that has it. Where none has it,
é becomes e and – becomes -, and what has no such stand-in is drawn as "□". On Debian ``fonts-noto-cjk`` brings Chinese.
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
"""File names of fonts, each with the index of the face in its file."""

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
_STAND_INS = {"–": "-", "—": "-", "−": "-", "×": "x"}
# Measuring a prompt's 4,000 characters takes time, and no caption has room for so many.
_LONGEST = 400
_NEVER_FIRST = frozenset("，。、！？；：）」』》…")
_NO_CHARACTER = "\U0010ffff"


class FallbackFont:
    """Text of one size, in whichever fonts have its characters."""

    def __init__(self, size: int, chinese: Names = CHINESE, other: Names = OTHER) -> None:
        """``size`` in pixels, at least 1. Blocks: fonts are looked for on disk."""
        built_in = load_default(size)
        assert isinstance(built_in, FreeTypeFont), "Pillow's wheels bring FreeType"
        found = (_first_font(chinese, size), built_in, _first_font(other, size))
        self._fonts = [font for font in found if font is not None]
        self._built_in = built_in
        self.size = size
        self.line_height = round(size * 1.3)

    def lines(self, text: str, width: float, most: int) -> list[str]:
        """The text in at most ``most`` lines of ``width`` pixels, cut with "…", ready for :meth:`draw`."""
        rest = self._drawable(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")
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
        """Pixels that a line of :meth:`lines` takes."""
        return sum(font.getlength(part) for font, part in self._runs(line))

    def draw(self, canvas: ImageDraw.ImageDraw, at: tuple[float, float], line: str, colour: Colour) -> None:
        """Draw a line of :meth:`lines`; ``at`` is the upper left corner of its box, ``line_height`` high."""
        x, y = at
        baseline = round(y + self.size)
        for font, part in self._runs(line):
            canvas.text((round(x), baseline), part, fill=colour, font=font, anchor="ls")
            x += font.getlength(part)

    def _line_end(self, text: str, width: float) -> int:
        """How many characters go on the first line: whole words where one fits, at least one character."""
        end = self._fitting(text, width)
        breaks = (at for at in range(end, 0, -1) if _may_break(text, at))
        return next(breaks, end)

    def _fitting(self, text: str, width: float) -> int:
        counts = range(1, len(text) + 1)
        return max(1, bisect_right(counts, width, key=lambda count: self.width(text[:count])))

    def _drawable(self, text: str) -> str:
        """One line without invisible characters, in which each character is one that a font has."""
        drawn: list[str] = []
        for character in unicodedata.normalize("NFC", " ".join(text.split())):
            kind = unicodedata.category(character)
            if kind in ("Cc", "Cf", "Cs") or (kind.startswith("M") and self._font_of(character) is None):
                continue
            drawn.append(self._stand_in(character))
        return "".join(drawn)

    def _stand_in(self, character: str) -> str:
        for candidate in (character, _STAND_INS.get(character), unicodedata.normalize("NFKD", character)[0]):
            if candidate is not None and self._font_of(candidate) is not None:
                return candidate
        return _UNKNOWN

    def _font_of(self, character: str) -> FreeTypeFont | None:
        return next((font for font in self._fonts if _has(font, character)), None)

    def _runs(self, line: str) -> Iterator[tuple[FreeTypeFont, str]]:
        """The line in parts of one font each; a space and a mark stay with the letter before them."""
        current, part = self._fonts[0], ""
        for character in line:
            mark = unicodedata.category(character).startswith("M") and _has(current, character)
            joins = part and (mark or character == " ")
            # A font without "□" draws a box of its own for it.
            wanted = current if joins else self._font_of(character) or self._built_in
            if part and wanted is not current:
                yield current, part
                part = ""
            current, part = wanted, part + character
        if part:
            yield current, part


@lru_cache(maxsize=16)
def fallback_font(size: int) -> FallbackFont:
    """The lettering of a size in pixels, with this system's fonts. Blocks: the first time it looks for them on disk."""
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
    """A variable font opens at its thinnest."""
    try:
        names = font.get_variation_names()
    except OSError:
        return font
    if b"Regular" in names:
        font.set_variation_by_name(b"Regular")
    return font


@lru_cache(maxsize=8192)
def _has(font: FreeTypeFont, character: str) -> bool:
    """Whether the font can draw a character: what it lacks looks like what no font has."""
    return _shape(font, character) != _shape(font, _NO_CHARACTER)


def _shape(font: FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes, float]:
    mask = font.getmask(character)
    return mask.size, bytes(mask), font.getlength(character)


def _may_break(text: str, at: int) -> bool:
    """Whether a line may end before the character at ``at``: at a space, and around Chinese characters."""
    if at == len(text) or text[at] == " ":
        return True
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in text[at - 1 : at + 1])
    return wide and text[at] not in _NEVER_FIRST
