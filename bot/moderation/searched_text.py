r"""Texts as patterns are searched in them: with a mark for its kind before each character.

RE2 knows ``\b``, ``\w``, ``\d`` and ``\s`` for ASCII alone; with the marks they mean every script. The kinds are digit,
other part of a word, space, and other, as the ``regex`` library sees them. For patterns with ``\b`` or ``\B`` there are
two more marks between characters, which say whether a word begins or ends there; two, for as many such conditions in a
row.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import regex

DIGIT, LETTER, SPACE, OTHER = "\x01", "\x02", "\x03", "\x04"
EDGE, NO_EDGE = "\x05", "\x06"
KINDS = frozenset({DIGIT, LETTER, SPACE, OTHER})
_KIND = regex.compile(r"(\d)|(\w)|(\s)|(.)", regex.DOTALL)


class SearchedText:
    """A text that patterns are searched in. Its characters must include no control characters but spaces."""

    def __init__(self, text: str) -> None:
        self.text = text
        folded = "".join(fold(character) for character in text)
        self._forms = [text] if folded == text else [text, folded]

    @cached_property
    def plain(self) -> list[bytes]:
        """The text, and if it differs the text with ß as ss and the like, with a mark before each character."""
        return ["".join(kind_of(c) + c for c in form).encode(errors="replace") for form in self._forms]

    @cached_property
    def with_edges(self) -> list[bytes]:
        """The same, with two marks between characters that say whether a word begins or ends there."""
        return [_with_edges(form).encode(errors="replace") for form in self._forms]


@lru_cache(maxsize=4096)
def kind_of(character: str) -> str:
    found = _KIND.match(character)
    assert found is not None
    return (DIGIT, LETTER, SPACE, OTHER)[found.lastindex - 1]


@lru_cache(maxsize=4096)
def fold(character: str) -> str:
    """Return the characters that a character is without regard to case if they are several, else the character."""
    folded = character.casefold()
    return folded if len(folded) > 1 else character


def _with_edges(text: str) -> str:
    parts, in_word = [], False
    for character in text:
        kind = kind_of(character)
        word = kind in (DIGIT, LETTER)
        parts.append((EDGE if word != in_word else NO_EDGE) * 2 + kind + character)
        in_word = word
    return "".join(parts) + (EDGE if in_word else NO_EDGE) * 2
