"""Parses durations as admins write them: ``30m``, ``12h``, ``7d``, ``2w``, ``1d12h``."""

from __future__ import annotations

import re

from bot.errors import Refusal
from bot.inert import in_quotes

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SECONDS_MAX = 3650 * _SECONDS["d"]
_PART = r"\s*([0-9]{1,9})\s*([mhdw])\s*"


def parse_period(text: str) -> int:
    """Return a duration in seconds, from 60 to ten years (3650 days). Parts add up in any order.

    Raises :class:`Refusal` if the text is no such duration.
    """
    lowered = text.lower()
    if re.fullmatch(f"(?:{_PART})+", lowered) is None:
        raise Refusal(
            f"{in_quotes(text, 20)} is not a period: write minutes, hours, days or weeks, like 30m, 12h, 7d, 2w or "
            "1d12h."
        )
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(_PART, lowered))
    if seconds == 0:
        raise Refusal("A period is at least one minute: write 1m or more.")
    if seconds > _SECONDS_MAX:
        raise Refusal("A period is at most ten years: write 3650d or less.")
    return seconds
