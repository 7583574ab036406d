"""Patterns as servers have them stored, some of which RE2 cannot read.

Those were added when the ``regex`` library matched all patterns. They go on refusing prompts until an admin replaces
them: matched by that library, with a bound for time and memory. Those beyond the bound refuse every prompt, since a
rule that is dropped in silence is worse than one that refuses too much.
"""

from __future__ import annotations

import time
import unicodedata
from dataclasses import dataclass
from typing import Final

import regex

from bot.errors import Refusal
from bot.moderation.patterns import PATTERN_BYTES, Pattern
from bot.moderation.searched_text import SearchedText

OLD_PATTERN_BYTES: Final = 2 * 1024 * 1024
"""About the most memory that an old pattern takes: :data:`_COST_MAX` times 600 bytes, as measured for ``\\p{…}``."""

_SECONDS = 0.05
_COST_MAX = 3000
_FLAGS = regex.IGNORECASE | regex.FULLCASE
_REPEAT = regex.compile(r"\{\s*(\d*)\s*(?:,\s*(\d*))?")
_NESTED_MAX = 5000
_NESTED = regex.compile(r"(\))?(?:\+|\{\s*(\d+))")


@dataclass(frozen=True, slots=True)
class StoredPattern:
    """A pattern of a server.

    ``reason`` is why an admin has to replace it, a sentence; None for a pattern that RE2 reads. ``old`` is such a
    pattern compiled by the ``regex`` library. With neither, it refuses every prompt.
    """

    compiled: Pattern | None = None
    old: regex.Pattern[str] | None = None
    reason: str | None = None

    @property
    def size(self) -> int:
        """A bound of its memory in bytes."""
        return PATTERN_BYTES if self.compiled is not None else OLD_PATTERN_BYTES

    @property
    def refuses_all(self) -> bool:
        return self.compiled is None and self.old is None

    def is_in(self, text: SearchedText) -> bool:
        """Return whether some part of the text matches. Blocks.

        Raises TimeoutError or MemoryError if an old pattern takes too much.
        """
        if self.compiled is not None:
            return self.compiled.is_in(text)
        return self.old is None or _matches(self.old, text.text)


def read_stored(text: str) -> StoredPattern:
    """Return a stored pattern, compiled. Blocks."""
    try:
        return StoredPattern(Pattern(text))
    except Refusal as refusal:
        return StoredPattern(old=_compile_old(unicodedata.normalize("NFKC", text)), reason=str(refusal))


def _compile_old(pattern: str) -> regex.Pattern[str] | None:
    """Return a pattern of the ``regex`` library. None if it cannot be compiled within the bounds."""
    if _cost(pattern) > _COST_MAX or _nested_cost(pattern) > _NESTED_MAX:
        return None
    try:
        compiled: regex.Pattern[str] = regex.compile(pattern, _FLAGS, cache_pattern=False)
        return None if _matches(compiled, "") else compiled
    except (regex.error, ValueError, KeyError, TimeoutError, RecursionError, MemoryError):
        return None


def _matches(pattern: regex.Pattern[str], text: str) -> bool:
    """Return whether the pattern matches. Raises TimeoutError if it takes more than its share of this thread's time.

    The library's timeout counts the time of all threads, so while the engine works it ends too early. Then the pattern
    is tried again with a longer timeout.
    """
    started, allowed = time.thread_time(), _SECONDS
    while True:
        try:
            return pattern.search(text, timeout=allowed, concurrent=True) is not None
        except TimeoutError:
            if time.thread_time() - started >= _SECONDS / 2:
                raise
            allowed *= 2


def _cost(pattern: str) -> int:
    """Return a bound for what the library copies when it compiles: the pattern as often as its counts multiplied."""
    cost = len(pattern)
    for low, high in _REPEAT.findall(pattern):
        cost *= max(int(low[:6] or 1), int(high[:6] or 1), 1)
    return cost


def _nested_cost(pattern: str) -> int:
    """Return how long the pattern is with the repeats of groups written out, ``+`` as two: they can be nested."""
    length, groups = len(pattern), 1
    for closing, count in _NESTED.findall(pattern):
        times = int(count[:6] or 1) + 1
        if closing:
            groups *= times
        else:
            length += times
    return length * groups
