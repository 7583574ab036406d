"""What is wrong with the flags of one prompt, in sentences for its author."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.inert import head, in_quotes
from bot.requests.option_types import Option, format_decimal

_NAMES_SHOWN = 10
_NAME_LIMIT = 30
_VALUE_LIMIT = 20


@dataclass(slots=True)
class FlagFaults:
    """Collects faults, to be told all at once.

    ``flags`` are the names that can be used here. The lists hold flags without their hyphens: ``midjourney`` those of
    Midjourney alone, ``unknown`` those of nobody, ``similar`` pairs of a name and the flag it is taken for,
    ``edits_only`` those for edits in a new picture's prompt, ``not_offered`` those that the model does not take, with
    what to do instead ("" for nothing). ``wrong`` has sentences about known flags, for which no other request can
    stand in. ``note`` says why the request has this model; "" if it is the one that the member expects.
    """

    model: str
    flags: Sequence[str]
    note: str = ""
    midjourney: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    similar: list[tuple[str, str]] = field(default_factory=list)
    edits_only: list[str] = field(default_factory=list)
    not_offered: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many flags have no meaning in this request."""
        return len(self.midjourney) + len(self.unknown) + len(self.edits_only) + len(self.not_offered)

    def add_wrong_value(self, name: str, takes: str, given: str) -> None:
        """Add a known flag without a valid value. ``takes`` completes the sentence "--flag takes …"."""
        shown = f", not {in_quotes(given, _VALUE_LIMIT)}" if given else ""
        self.wrong.append(f"{_flag(name)} takes {takes}{shown}.")

    def add_given_twice(self, name: str) -> None:
        self.wrong.append(f"{_flag(name)} is given twice: give it once.")

    def sentence(self) -> str:
        """Return everything that was collected in one text; empty if nothing was."""
        parts: list[str] = []
        if self.midjourney:
            several = len(set(self.midjourney)) > 1
            parts.append(f"{_listed(self.midjourney)} {'work' if several else 'works'} in Midjourney, not here.")
        if self.edits_only:
            several = len(set(self.edits_only)) > 1
            parts.append(f"{_listed(self.edits_only)} {'work' if several else 'works'} only when you change a picture.")
        for instead in dict.fromkeys(instead for _, instead in self.not_offered):
            names = [name for name, each in self.not_offered if each == instead]
            parts.append(f"{self.model} does not take {_listed(names)}{f': {instead}' if instead else ''}.")
        if self.not_offered and self.note:
            parts.append(self.note)
        if self.similar:
            parts.append(f"{_there_is_no([name for name, _ in self.similar])}.")
            parts.append(f"Did you mean {_listed([flag for _, flag in self.similar])}?")
        if self.unknown:
            usable = ", ".join(_flag(flag) for flag in self.flags)
            parts.append(f"{_there_is_no(self.unknown)}; the flags here are {usable}.")
        return " ".join([*parts, *dict.fromkeys(self.wrong)])

    def label(self) -> str:
        """Return the label of the button that generates what is left, with similar names replaced."""
        if not self.left_out:
            return "Generate"
        if self.similar:
            return "Generate without the others"
        return "Generate without it" if self.left_out == 1 else "Generate without them"


def range_text(option: Option[Any], low: float, high: float) -> str:
    """Return what an option takes that has these bounds, to complete the sentence "--flag takes …"."""
    if low == high:
        return f"{format_decimal(low)} only"
    kind = "a whole number" if option.value_type is int else "a number"
    return f"{kind} from {format_decimal(low)} to {format_decimal(high)}"


def _flag(name: str) -> str:
    return f"`--{head(name, _NAME_LIMIT)}`"


def _there_is_no(names: Sequence[str]) -> str:
    return f"There {'are no flags' if len(set(names)) > 1 else 'is no flag'} {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    """Return the flags as a list in words, each once."""
    flags = [_flag(name) for name in dict.fromkeys(names)]
    if len(flags) > _NAMES_SHOWN:
        flags = [*flags[:_NAMES_SHOWN], f"{len(flags) - _NAMES_SHOWN} more"]
    return " and ".join(filter(None, [", ".join(flags[:-1]), flags[-1]]))
