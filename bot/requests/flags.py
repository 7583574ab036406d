"""Flags inside a prompt, in the notation of Midjourney: ``a cat --ar 16:9 --seed 7 --no blur``.

Phones turn ``--`` into a dash, so ``—ar`` is the same flag. The text without its flags is the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.requests.option_types import Option
from bot.requests.options import OPTIONS
from bot.requests.spec import ImageOptions
from zimage_engine.types import InvalidRequest

_FLAG = re.compile(r"(?:^|(?<=\s))(?:--|[—–])(?P<name>\w[\w-]*)(?P<mark>[^\w\s]*)")


def _flags(*, edits_only: bool) -> dict[str, Option[Any]]:
    return {flag: option for option in OPTIONS if option.edits_only == edits_only for flag in option.flags}


FLAGS = _flags(edits_only=False)
"""The options by their flags in the prompt of a new picture."""

EDIT_FLAGS = FLAGS | _flags(edits_only=True)
"""The same for an edit."""


def has_flag(text: str) -> bool:
    """Return whether the text has a flag of edits, with or without a valid value."""
    return any(match["name"].lower() in EDIT_FLAGS for match in _FLAG.finditer(text))


def _first_word(text: str) -> tuple[str, str]:
    """Return the first word of the text and the rest; white space of any script ends a word."""
    word, *after = text.split(maxsplit=1) or [""]
    return word, after[0] if after else ""


def read_flags(options: ImageOptions, flags: Mapping[str, Option[Any]] = FLAGS) -> ImageOptions:
    """Return the options with the flags of the prompt applied, and removed from the prompt.

    Raises :class:`InvalidRequest`, naming the flag, if it is unknown, has no valid value, is given twice, or is given
    as an option too.
    """
    text = options.prompt
    found = list(_FLAG.finditer(text))
    if not found or options.verbatim:
        return options
    kept = [text[: found[0].start()]]
    changes = {}
    for match, following in zip(found, [*found[1:], None], strict=True):
        shown = f"--{match['name'].lower()[:30]}"
        option = flags.get(match["name"].lower())
        if option is None:
            raise InvalidRequest(f"There is no flag {shown}; the flags are {', '.join(f'--{name}' for name in flags)}.")
        rest = text[match.end() : following.start() if following else len(text)].strip()
        value_text, after = (rest, "") if option.rest_of_text else _first_word(rest)
        value = option.parse(value_text) if match["mark"] in ("", "=") else None
        if value is None:
            given = f", not “{value_text[:20]}”" if value_text else ""
            raise InvalidRequest(f"{shown} takes {option.takes}{given}.")
        if option.name in changes or getattr(options, option.name) is not None:
            raise InvalidRequest(f"{shown} is given twice: say the {option.name} once.")
        changes[option.name] = value
        kept.append(after)
    prompt = " ".join(part.strip() for part in kept if part.strip())
    return replace(options, prompt=prompt, **changes)
