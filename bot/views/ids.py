"""Ids in custom ids and links, which anybody's program can write: patterns that only take what SQLite can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SNOWFLAKE: Final = r"(?:[0-9]{1,18}|[1-8][0-9]{18})"
"""An id of Discord, without groups. Real ones grow past these 19 digits, and past SQLite's integers, in the 2080s."""
_SNOWFLAKE = re.compile(SNOWFLAKE)


def ids_in(texts: Iterable[str]) -> list[int]:
    """Return those of the texts that are ids, such as the chosen values of a select; others are left out."""
    return [int(text) for text in texts if _SNOWFLAKE.fullmatch(text)]
