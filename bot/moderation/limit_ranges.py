"""Which values of a limit or ceiling make sense on this instance; others are refused with the range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bot.errors import Refusal
from bot.inert import in_quotes
from bot.moderation.limit_texts import VALUE_MAX, format_value, parse_value
from bot.store.admission import Terms
from bot.store.limits import CEILINGS, LIMITS, UNLIMITED, Ceiling, LimitName


@dataclass(frozen=True, slots=True)
class LimitRange:
    """The values from ``low`` to ``high``, in the unit of the limit ``name``, besides 0 and "unlimited".

    ``called`` is the name of the limit or ceiling in a refusal.
    """

    called: str
    name: LimitName
    low: int
    high: int

    def parse(self, text: str) -> int | None:
        """Return the value that was typed, None for "unlimited". Raises :class:`Refusal` if it is not in the range."""
        value = parse_value(self.name, text)
        if self._has(value):
            return value
        raise Refusal(
            f"{in_quotes(text, 30)} is not a value for {self.called} here: "
            f"give {self.text}, 0 for none, or {UNLIMITED}."
        )

    @property
    def text(self) -> str:
        """The range in words, such as "credits from 0.05 to 500"."""
        noun = {"credits": "credits", "pixels": "pixels", "pieces": "a whole number"}[LIMITS[self.name].unit]
        low, high = self._shown(self.low), self._shown(self.high)
        return f"{noun} from {low}" if self.high == VALUE_MAX else f"{noun} from {low} to {high}"

    def offered(self) -> tuple[str, ...]:
        """Return the values for the autocomplete that are in the range."""
        return tuple(text for text in LIMITS[self.name].offered if self._has(parse_value(self.name, text)))

    def _shown(self, value: int) -> str:
        """Return a value as it can be typed; pixels of a square by its sides."""
        side = math.isqrt(value)
        square = LIMITS[self.name].unit == "pixels" and side * side == value
        return f"{side}×{side}" if square else format_value(self.name, value)

    def _has(self, value: int | None) -> bool:
        return value is None or value == 0 or self.low <= value <= self.high


def limit_range(name: LimitName, terms: Terms) -> LimitRange:
    """Return the values that an admin may set: what the model can do, up to what the operator allows."""
    ceiling = {
        "credits_per_day": terms.credits_per_user,
        "concurrent_jobs": terms.queue_length,
        "queued_jobs": terms.queue_length,
    }.get(name)
    high = terms.caps.get(name) or ceiling or VALUE_MAX
    return LimitRange(f"“{LIMITS[name].title}”", name, min(_smallest(name, terms), high), high)


def ceiling_range(name: Ceiling, terms: Terms) -> LimitRange:
    """Return the values that an operator may set for a ceiling; they are typed like those of a limit."""
    unit_of = CEILINGS[name].unit_of
    return LimitRange(name, unit_of, _smallest(unit_of, terms), VALUE_MAX)


def _smallest(name: LimitName, terms: Terms) -> int:
    return terms.floors.get(name, 1)
