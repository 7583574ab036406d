"""The beginning of somebody's text, for the sentence of an error."""

from __future__ import annotations

_MARKUP = str.maketrans("", "", "`*_~|<>[]\\@")


def excerpt(text: str, limit: int) -> str:
    """Return the first ``limit`` characters of a text, in one line and without what chats read as markup."""
    return " ".join(text.translate(_MARKUP).split())[:limit]
