"""Text on sheets and charts, in several fonts.

No font has every script, so each character is drawn with the first of these fonts that has it:

1. the emoji of Noto Emoji, in outlines;
2. the font of the sheet or chart: Pillow's built-in one or DejaVu Sans;
3. DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew, symbols;
4. the fonts in ``font_files``: Chinese, Japanese, Korean, Thai, Devanagari;
5. fonts of the system in :data:`SYSTEM`, which are searched for by file name when a character needs one.

If none has it, a similar character is drawn (é as e), else "…" in place of it and of its neighbours without a font.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont, Layout, load_default, truetype

from bot.media.palette import Colour

Names = tuple[tuple[str, int], ...]
"""Paths or file names of fonts, each with the index of the face in the file."""

_FILES = Path(__file__).parent / "font_files"
EMOJI = str(_FILES / "NotoEmoji.ttf")
BUNDLED: Names = tuple(
    (str(_FILES / name), 0) for name in ("DroidSansFallback.ttf", "NotoSansThai.ttf", "NotoSansDevanagari.ttf")
)
_NOTO = ("Bengali", "Ethiopic", "Gujarati", "Gurmukhi", "Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Sinhala")
# In Noto's collection the third face has the shapes of mainland China, the first those of Japan.
SYSTEM: Names = (
    ("NotoSansCJK-Regular.ttc", 2),
    ("NotoSansCJK-VF.ttc", 2),
    *((f"NotoSans{script}-Regular.ttf", 0) for script in (*_NOTO, "Tamil", "Telugu", "Symbols2", "Math")),
    ("Arial Unicode.ttf", 0),
    ("seguisym.ttf", 0),
    ("unifont.otf", 0),
)

_UNKNOWN = "…"
_SIMILAR = {"–": "-", "—": "-", "−": "-", "×": "x"}
# Measuring a prompt's 4,000 characters takes time, and no caption has room for so many.
_LENGTH_MAX = 400
_NEVER_FIRST = frozenset("，。、！？；：）」』》…")
_NO_CHARACTER = "\U0010ffff"
# They change the emoji before them, which the outlines do not show.
_MODIFIERS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400), 0x20E3)))


class FallbackFont:
    """A font of one size that takes each character from the first of several fonts that has it."""

    def __init__(
        self, size: int, first: str | None = None, *, bundled: Names = BUNDLED, system: Names = SYSTEM
    ) -> None:
        """``size`` in pixels, at least 1; ``first`` is the path of the main font, None for Pillow's built-in one."""
        main = load_default(size) if first is None else _regular(truetype(first, size))
        assert isinstance(main, FreeTypeFont), "Pillow's wheels bring FreeType"
        self._main = main
        self._own = [
            truetype(EMOJI, size),
            main,
            truetype(dejavu_path(), size),
            *(_regular(truetype(path, size, index)) for path, index in bundled),
        ]
        self._names = system
        self.size = size
        self.line_height = round(size * 1.3)

    @cached_property
    def _system(self) -> Sequence[FreeTypeFont]:
        """The system's fonts. The first use blocks: it searches the disk."""
        return _installed(self._names, self.size)

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

    def has(self, character: str) -> bool:
        """Return whether one of the fonts has the character."""
        return self._font_of(character) is not None

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
        drawn = ""
        for character in unicodedata.normalize("NFC", " ".join(text.split())):
            kind = unicodedata.category(character)
            if kind in ("Cc", "Cf", "Cs") or (drawn and character in _MODIFIERS):
                continue
            if kind.startswith("M") and not self.has(character):
                continue
            shown = self._drawable_character(character)
            if shown != _UNKNOWN or not drawn.endswith(_UNKNOWN):
                drawn += shown
        return drawn

    def _drawable_character(self, character: str) -> str:
        """Return the character, a similar one, or "…": the first that a font has."""
        for candidate in (character, _SIMILAR.get(character), unicodedata.normalize("NFKD", character)[0]):
            if candidate is not None and self.has(candidate):
                return candidate
        return _UNKNOWN

    def _font_of(self, character: str) -> FreeTypeFont | None:
        own = next((font for font in self._own if _has(font, character)), None)
        return own or next((font for font in self._system if _has(font, character)), None)

    def _runs(self, line: str) -> Iterator[tuple[FreeTypeFont, str]]:
        """Yield the line in parts of one font each."""
        for font, characters in groupby(zip(self._fonts_of(line), line, strict=True), itemgetter(0)):
            yield font, "".join(character for _, character in characters)

    def _fonts_of(self, line: str) -> list[FreeTypeFont]:
        """Return the font of each character.

        A mark has the font of the character before it, if that has the mark. A space between two characters of one font
        has it, too, because scripts from right to left are ordered within a part of one font.
        """
        fonts: list[FreeTypeFont] = []
        for at, character in enumerate(line):
            before = fonts[-1] if fonts else self._main
            if character == " ":
                after = self._font_of(line[at + 1 : at + 2] or " ")
                font = before if before is after and _has(before, " ") else self._main
            elif unicodedata.category(character).startswith("M") and _has(before, character):
                font = before
            else:
                font = self._font_of(character) or self._main
            fonts.append(font)
        return fonts


@lru_cache(maxsize=16)
def fallback_font(size: int) -> FallbackFont:
    """Return the font of sheets, of a size in pixels."""
    return FallbackFont(size)


@lru_cache(maxsize=1)
def dejavu_path() -> str:
    """Return the path of DejaVu Sans in matplotlib's folder, without importing matplotlib, which takes a second."""
    spec = find_spec("matplotlib")
    assert spec is not None, "matplotlib is a dependency"
    assert spec.submodule_search_locations, "matplotlib is a package"
    return str(Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")


def _installed(names: Names, size: int) -> list[FreeTypeFont]:
    """Return those of the fonts that the system has."""
    fonts = []
    for name, index in names:
        try:
            fonts.append(_regular(truetype(name, size, index)))
        except OSError:
            continue  # not on this system
    return fonts


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
    plain = _unshaped(font)
    return _shape(plain, character) != _shape(plain, _NO_CHARACTER)


@lru_cache(maxsize=256)
def _unshaped(font: FreeTypeFont) -> FreeTypeFont:
    """Return the font without joining of characters, which would show a missing mark on a dotted circle."""
    return font.font_variant(layout_engine=Layout.BASIC)


def _shape(font: FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes, float]:
    mask = font.getmask(character)
    return mask.size, bytes(mask), font.getlength(character)


def _may_break(text: str, at: int) -> bool:
    """Return whether a line may end before the character at ``at``: at a space, and around Chinese characters."""
    if at == len(text) or text[at] == " ":
        return True
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in text[at - 1 : at + 1])
    return wide and text[at] not in _NEVER_FIRST
