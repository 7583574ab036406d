"""Finds what looks like a flag in a prompt, however its dashes, letters and digits are written.

Texts are compared in a plain form of the same length, so that positions in it are positions in the text: full-width and
other compatible characters (NFKC), digits of every script, dashes and colons become the ASCII character that is meant.
The prompt itself keeps its characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

_SHORT_DASHES = "-\u2010\u2011\u2212\ufe63\uff0d"
_LONG_DASHES = "\u2012\u2013\u2014\u2015\u2e3a\u2e3b\ufe58\ufe31\ufe32"
_ANY_DASH = re.compile(f"[{_SHORT_DASHES}{_LONG_DASHES}]")
_PLAIN = (
    dict.fromkeys(_SHORT_DASHES, "-")
    | dict.fromkeys(_LONG_DASHES, "—")
    | dict.fromkeys("\u2236\ua789", ":")  # ratio, modifier letter colon
    | dict.fromkeys("\u200b\u2060\ufeff", " ")  # invisible, and part of much that is copied from web pages
)
_FLAG = re.compile(r"(?<![-—])(?P<dash>[-—]{2,}|—)(?P<name>[^\W_]\w*(?:-\w+)*)")
_GLUED = re.compile(r"(?P<name>[a-z]+)(?=\d)")

_QUOTES = "\"'`“”‘’«»([{"
_CLOSING = ",.;:!?)]}»”’、。"
_RUN = re.compile(r"(?:[!-+.-:<-~×-]|[,;](?=\d))+")
"""What one value may consist of: ASCII, with a comma or semicolon only before a digit. Chinese text ends a value."""


@dataclass(frozen=True, slots=True)
class FlagToken:
    """What looks like a flag: its ``name`` in small letters, and where it begins and its value may begin.

    ``certain`` if two hyphens precede it; other dashes are also found in prose.
    """

    name: str
    start: int
    end: int
    certain: bool


def plain(text: str) -> str:
    """Return the text, as long as before, with the ASCII characters that its characters stand for."""
    return text if text.isascii() else "".join(map(_plain_character, text))


def find_flags(text: str, is_known: Callable[[str], bool]) -> Iterator[FlagToken]:
    """Yield what looks like a flag in a :func:`plain` text, from left to right.

    It follows white space, another flag, a wide character such as a Chinese one, or punctuation if its name
    ``is_known``. Digits may follow a known name without a space (``--ar16:9``). A name never begins with a wide
    character: Chinese uses doubled dashes as punctuation.
    """
    previous_end = 0
    for match in _FLAG.finditer(text):
        name, end = match["name"].lower(), match.end()
        wide = next((at for at, letter in enumerate(match["name"]) if _is_wide(letter)), None)
        if wide == 0:
            continue
        if wide is not None:
            name, end = match["name"][:wide].lower(), match.start("name") + wide
        glued = _GLUED.match(name)
        if glued is not None and not is_known(name) and is_known(glued["name"]):
            name, end = glued["name"], match.start("name") + glued.end()
        start, certain = match.start(), match["dash"] == "--"
        before = text[start - 1] if start else " "
        separate = start == previous_end or before.isspace() or _is_wide(before)
        if separate or (certain and is_known(name) and _is_punctuation(before)):
            yield FlagToken(name, start, end, certain)
            previous_end = end


def has_dash(text: str) -> bool:
    """Return whether the text has any character that may begin a flag."""
    return _ANY_DASH.search(text) is not None


def after_punctuation(text: str, position: int) -> int:
    """Return the position after the closing punctuation that stands at ``position`` in a plain text."""
    while position < len(text) and text[position] in _CLOSING:
        position += 1
    return position


def value_candidates(word: str) -> Iterator[tuple[str, int]]:
    """Yield the values that a plain word may begin with, the longest first, and how many characters each takes up.

    They are the whole word, the word without quotes and punctuation around it, and what precedes Chinese text or a
    comma.
    """
    yield word, len(word)
    yield _trimmed(word), len(word)
    run = _RUN.match(word)
    if run is not None:
        yield _trimmed(run[0]), after_punctuation(word, run.end())


def _trimmed(word: str) -> str:
    end = len(word)
    while end and _is_punctuation(word[end - 1]):
        end -= 1
    return word[:end].lstrip(_QUOTES)


def _is_punctuation(character: str) -> bool:
    return character == "`" or unicodedata.category(character).startswith("P")


@lru_cache(maxsize=4096)
def _plain_character(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    compatible = unicodedata.normalize("NFKC", character)
    return compatible if len(compatible) == 1 else character


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"
