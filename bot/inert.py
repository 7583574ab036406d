"""Text by people, made safe to show in a message, and measured as Discord measures it."""

from __future__ import annotations

import re

_BIDI_CONTROLS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Bidirectional marks, overrides and isolates, which would change the direction of the text around them."""
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""Halves of UTF-16 pairs, which no encoding of text can write."""
_UNSAFE = _BIDI_CONTROLS | _SURROGATES
_MARKUP = re.compile(r"[`*_~|<>\[\]\\@]|://")


def utf16_length(text: str) -> int:
    """Return the length as Discord counts it against its limits: in UTF-16 code units, so that most emoji count two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def head(text: str, limit: int) -> str:
    """Return the beginning of the text that is at most ``limit`` UTF-16 code units long; no character is split."""
    if len(text) <= limit and text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, limit)].decode("utf-16-le", "ignore")


def cut(text: str, limit: int) -> str:
    """Return the text, cut to ``limit`` UTF-16 code units with "…" at the end if it is longer."""
    return text if utf16_length(text) <= limit else head(text, limit - 1).rstrip() + "…"


def plain(text: str) -> str:
    """Return untrusted text without what changes the direction of the text around it, or cannot be encoded."""
    return text.translate(_UNSAFE)


def one_line(text: str) -> str:
    """Return untrusted text in one line that leaves the direction of the text around it alone."""
    return " ".join(plain(text).split())


def inert(text: str, limit: int) -> str:
    """Return untrusted text as inline code: one line without markup, links or mentions.

    It has at most ``limit`` UTF-16 code units. The fence is two backticks, so that the text may contain single ones;
    runs of backticks in the text are separated with zero-width spaces.
    """
    line = one_line(text)
    while "``" in line:
        line = line.replace("``", "`\u200b`")
    line = cut(line, limit - 6)
    # A backtick at an end would become part of the fence.
    line = f" {line}" if line.startswith("`") else line
    line = f"{line} " if line.endswith("`") else line
    return f"``{line}``"


def in_quotes(text: str, limit: int) -> str:
    """Return untrusted text, cut to ``limit`` UTF-16 code units, in quotation marks; as inline code if it is markup."""
    line = head(one_line(text), limit)
    return inert(line, limit + 6) if _MARKUP.search(line) else f"“{line}”"
