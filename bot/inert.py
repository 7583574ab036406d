"""Text by people, made safe to show in a message."""

from __future__ import annotations

import re

_BIDI_OVERRIDES = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Bidirectional overrides and isolates, which would change the direction of the text around them."""

_MARKUP = re.compile(r"[`*_~|<>\[\]\\@]|://")


def cut(text: str, limit: int) -> str:
    """Return the text, cut to ``limit`` characters with "…" at the end if it is longer."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def one_line(text: str) -> str:
    """Return untrusted text in one line that leaves the direction of the text around it alone."""
    return " ".join(text.translate(_BIDI_OVERRIDES).split())


def inert(text: str, limit: int) -> str:
    """Return untrusted text as inline code: one line of at most ``limit`` characters without markup, links or mentions.

    The fence is two backticks, so that the text may contain single ones; runs of backticks in the text are separated
    with zero-width spaces.
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
    """Return the first ``limit`` characters of untrusted text in quotation marks; as inline code if it has markup."""
    line = one_line(text)[:limit]
    return inert(line, limit + 6) if _MARKUP.search(line) else f"“{line}”"
