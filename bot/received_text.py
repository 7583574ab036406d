"""Repairs the text in Discord's events: strings that no encoding can write would fail in the database or the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""JSON's escapes can name half of a UTF-16 pair. Python joins pairs, so those that are left are alone."""


def repair_events(parsers: dict[str, Callable[[Any], None]]) -> None:
    """Make each of discord.py's parsers of gateway events see U+FFFD in place of lone surrogates."""
    for event, parse in parsers.items():
        parsers[event] = _repairing(parse)


def _repairing(parse: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(parse)
    def repaired(data: Any) -> None:
        parse(repair(data))

    return repaired


def repair(data: Any) -> Any:
    """Return the JSON value with every lone surrogate in its strings replaced. Lists and objects are changed in place.

    Object keys are left alone: Discord makes them, not people.
    """
    if isinstance(data, str):
        return data if data.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", data)
    if isinstance(data, dict):
        for name, value in data.items():
            data[name] = repair(value)
    elif isinstance(data, list):
        data[:] = map(repair, data)
    return data
