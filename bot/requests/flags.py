"""Flags inside a prompt, as people know them from Midjourney: ``a cat --ar 16:9 --seed 7 --no blur``.

Phones turn ``--`` into a dash, so ``—ar`` is the same flag. The prompt is what is left without them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from bot.requests.spec import ImageOptions
from zimage_engine.profiles import SEED_LIMIT, SizeName, parse_aspect
from zimage_engine.types import InvalidRequest

_FLAG = re.compile(r"(?:^|(?<=\s))(?:--|[—–])(?P<name>\w[\w-]*)(?P<mark>[^\w\s]*)")
_WHOLE = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,4}(?:\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: the wish it sets, what it takes in words, and how its text is read (None where it cannot be)."""

    wish: str
    takes: str
    read: Callable[[str], str | int | float | None]
    rest_of_text: bool = False


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _decimal(text: str) -> float | None:
    return float(text) if _DECIMAL.fullmatch(text) else None


def _text(text: str) -> str | None:
    return text or None


def _aspect(text: str) -> str | None:
    try:
        parse_aspect(text)
    except InvalidRequest:
        return None
    return text


def _size(text: str) -> str | None:
    return text if text.lower() in _SIZE_NAMES or re.fullmatch(r"\d{1,5}[x×*]\d{1,5}", text, re.ASCII) else None


_SIZE_NAMES = get_args(SizeName)
_ASPECT = Flag("aspect", "width:height from 1:4 to 4:1, like 16:9", _aspect)
_NEGATIVE = Flag("negative", "what the picture should not show, like blur", _text, rest_of_text=True)
_FITS = ("crop", "pad")
FLAGS: dict[str, Flag] = {
    "ar": _ASPECT,
    "aspect": _ASPECT,
    "size": Flag("size", f"{', '.join(_SIZE_NAMES)} or pixels like 256x256", _size),
    "count": Flag("count", "a whole number of images", _whole),
    "seed": Flag("seed", f"a whole number from 0 to {SEED_LIMIT - 1}", _whole),
    "steps": Flag("steps", "a whole number of steps", _whole),
    "guidance": Flag("guidance", "a number, like 4", _decimal),
    "no": _NEGATIVE,
    "negative": _NEGATIVE,
}
EDIT_FLAGS: dict[str, Flag] = FLAGS | {
    "strength": Flag("strength", "a number from 0.05 to 1, like 0.5", _decimal),
    "image": Flag("which", "the number of a picture, like 2", _whole),
    "fit": Flag("fit", "crop or pad", lambda text: text.lower() if text.lower() in _FITS else None),
}


def has_flag(text: str) -> bool:
    """Whether somebody wrote a flag that edits know, whatever follows it."""
    return any(match["name"].lower() in EDIT_FLAGS for match in _FLAG.finditer(text))


def _first_word(text: str) -> tuple[str, str]:
    """The text's first word and what follows it; words end at white space of any script."""
    word, *after = text.split(maxsplit=1) or [""]
    return word, after[0] if after else ""


def read_flags(options: ImageOptions, flags: Mapping[str, Flag] = FLAGS) -> ImageOptions:
    """The wishes with the prompt's flags taken out of it and applied.

    Raises :class:`InvalidRequest`, naming the flag, where it is unknown, lacks its value or is also an option.
    """
    text = options.prompt
    found = list(_FLAG.finditer(text))
    if not found or options.verbatim:
        return options
    kept = [text[: found[0].start()]]
    changes: dict[str, str | int | float] = {}
    for match, following in zip(found, [*found[1:], None], strict=True):
        shown = f"--{match['name'].lower()[:30]}"
        flag = flags.get(match["name"].lower())
        if flag is None:
            raise InvalidRequest(f"There is no flag {shown}; the flags are {', '.join(f'--{name}' for name in flags)}.")
        rest = text[match.end() : following.start() if following else len(text)].strip()
        value_text, after = (rest, "") if flag.rest_of_text else _first_word(rest)
        value = flag.read(value_text) if match["mark"] in ("", "=") else None
        if value is None:
            given = f", not “{value_text[:20]}”" if value_text else ""
            raise InvalidRequest(f"{shown} takes {flag.takes}{given}.")
        if flag.wish in changes or getattr(options, flag.wish) is not None:
            raise InvalidRequest(f"{shown} is given twice: say the {flag.wish} once.")
        changes[flag.wish] = value
        kept.append(after)
    prompt = " ".join(part.strip() for part in kept if part.strip())
    return replace(options, prompt=prompt, **changes)  # type: ignore[arg-type]  # each flag reads its wish's type
