"""Ids as Discord makes them: milliseconds since 2015 above 22 bits of a counter."""

from __future__ import annotations

import time

_EPOCH_MS = 1_420_070_400_000
_COUNTER = 1 << 22


class Snowflakes:
    """Makes ids that are unique, and in the order of the moments that they stand for."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, seconds_ago: float = 0.0) -> str:
        """Return a new id of now, or of a moment in the past."""
        self._count = (self._count + 1) % _COUNTER
        milliseconds = int((time.time() - seconds_ago) * 1000) - _EPOCH_MS
        return str(milliseconds * _COUNTER + self._count)


def seconds_since(snowflake: str) -> float:
    """Return the age of an id in seconds."""
    return time.time() - (int(snowflake) // _COUNTER + _EPOCH_MS) / 1000
