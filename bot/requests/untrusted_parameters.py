"""The spec in a picture's metadata.

Metadata is untrusted, since anybody can write it: its length is limited, each field is validated, and the spec is
checked like one that a member typed. It cannot name a file, a model or an image of ours: an edit's original and mask
are never read, since a forged name would show another member's picture.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_type_hints

from bot.errors import Refusal
from bot.inert import cut, in_quotes
from bot.media.embedded_text import FIELD, PARAMETERS
from bot.media.metadata import NEGATIVE
from bot.requests.models import Models
from bot.requests.options import OPTIONS
from bot.requests.spec import ImageSpec
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import InvalidRequest

TEXT_LIMIT = 64 * 1024
"""The most characters of metadata that are read."""

_MODEL_LIMIT = 80
_DIGITS_LIMIT = 30
_NOT_READ = ("original", "mask")
_WHOLE = re.compile(r"\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,4}(?:\.\d{1,10})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
# Matched at the end of the previous setting, never searched for: a search would take quadratic time.
_SETTING = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|\Z)')
_TERMINAL_CODE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
# Control characters except tab and line feed, surrogates, and bidirectional overrides and isolates.
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_NOTHING = "There are no parameters in this picture; send the file as it was first saved, not a screenshot or a copy."
_TOO_LONG = "The parameters in this picture are longer than 64 kB, and I read no more; send another picture."
_DAMAGED = "The parameters in this picture are damaged; send the file as it was first saved."


def read_spec(text: Mapping[str, str], models: Models) -> ImageSpec:
    """Return the spec in a picture's texts: from our own ``zimage``, else from ``parameters``.

    ``parameters`` is what AUTOMATIC1111 and others write; their CFG scale is the guidance scale + 1, and 1 or less
    turns guidance off. Control characters are removed from prompts. ``model`` need not be the title of one of the
    models; it is "" if the metadata has none. The strength of an edit is kept, its original and mask are not.

    Raises :class:`Refusal` if there are no parameters, or the model cannot generate what they say: the one that they
    name, or the default if they name none of ours.
    """
    if FIELD in text:
        spec = _from_json(_limited(text[FIELD]))
    elif PARAMETERS in text:
        spec = _from_settings(_limited(text[PARAMETERS]), models)
    else:
        raise Refusal(_NOTHING)
    profile = models.titled_or_default(spec.model)
    try:
        _check_bounds(spec, profile)
        profile.check(spec.request(""))
    except (InvalidRequest, Refusal) as error:
        if spec.model and models.titled(spec.model) is None:
            raise Refusal(
                f"I do not have the model {in_quotes(spec.model, 40)} of this picture, and {profile.title} cannot use "
                "its parameters: ask for a new picture with /imagine."
            ) from error
        if isinstance(error, Refusal):
            raise
        raise Refusal(f"The parameters in this picture cannot be used here: {error}") from error
    return spec


def _check_bounds(spec: ImageSpec, profile: ModelProfile) -> None:
    """Raise :class:`Refusal` for a number that :meth:`ModelProfile.check` does not look at, such as the strength."""
    for option in OPTIONS:
        value = option.of_spec(spec) if option.of_spec is not None else None
        if value is None or option.bounds is None:
            continue
        low, high = option.bounds(profile, 1)
        if value != low == high:
            raise Refusal(
                f"{profile.title} takes no {option.name}, which this picture's parameters have; send another picture."
            )
        if not low <= value <= high:
            raise Refusal(
                f"The {option.name} in this picture's parameters is not from {low:g} to {high:g}; send another picture."
            )


def _limited(text: str) -> str:
    if len(text) > TEXT_LIMIT:
        raise Refusal(_TOO_LONG)
    return text


def _from_json(text: str) -> ImageSpec:
    """Read what :meth:`ImageSpec.fields` wrote. Fields with a default may be missing, unknown ones are ignored."""
    fields = _parse_object(text)
    values: dict[str, Any] = {
        each.name: _READERS[_FIELD_TYPES[each.name]](fields, each.name)
        for each in dataclasses.fields(ImageSpec)
        if each.name in _FIELD_TYPES and (each.name in fields or each.default is dataclasses.MISSING)
    }
    return ImageSpec(**values | {"model": _shown(values["model"])})


def _parse_object(text: str) -> dict[str, object]:
    """Parse one JSON object of finite numbers with at most 30 digits; no name may occur twice."""
    try:
        parsed: object = json.loads(
            text,
            parse_int=_parse_whole,
            parse_float=_parse_number,
            parse_constant=_parse_number,
            object_pairs_hook=_parse_pairs,
        )
    except (ValueError, RecursionError) as error:
        raise Refusal(_DAMAGED) from error
    if not isinstance(parsed, dict):
        raise Refusal(_DAMAGED)
    return parsed


def _parse_whole(digits: str) -> int:
    if len(digits) > _DIGITS_LIMIT:
        raise ValueError("too many digits")
    return int(digits)


def _parse_number(digits: str) -> float:
    if len(digits) > _DIGITS_LIMIT or not math.isfinite(float(digits)):
        raise ValueError("not a number of ours")
    return float(digits)


def _parse_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    parsed = dict(pairs)
    if len(parsed) < len(pairs):
        raise ValueError("a name stands twice")
    return parsed


def _text(fields: Mapping[str, object], name: str) -> str:
    value = _field(fields, name)
    if not isinstance(value, str):
        raise Refusal(_DAMAGED)
    return value


def _clean_text(fields: Mapping[str, object], name: str) -> str:
    return _clean(_text(fields, name))


def _whole(fields: Mapping[str, object], name: str) -> int:
    value = _field(fields, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(_DAMAGED)
    return value


def _number(fields: Mapping[str, object], name: str) -> float:
    value = _field(fields, name)
    return value if isinstance(value, float) else float(_whole(fields, name))


_READERS: dict[type, Callable[[Mapping[str, object], str], object]] = {str: _clean_text, int: _whole, float: _number}
"""How a field of :class:`ImageSpec` is read from JSON, by its type."""
_FIELD_TYPES: dict[str, type] = {
    name: kind for name, kind in get_type_hints(ImageSpec).items() if name not in _NOT_READ
}


def _field(fields: Mapping[str, object], name: str) -> object:
    if name not in fields:
        said = name.lower().replace("_", " ")
        raise Refusal(f"The parameters in this picture do not say the {said}; send the file as it was first saved.")
    return fields[name]


def _from_settings(text: str, models: Models) -> ImageSpec:
    """Read the layout of AUTOMATIC1111: prompt lines, ``Negative prompt:`` lines, a line of settings."""
    *lines, last = _clean(text).split("\n")
    if not last.startswith("Steps:") and any(line.startswith("Steps:") for line in lines):
        # Some tools add lines after the settings.
        at = max(number for number, line in enumerate(lines) if line.startswith("Steps:"))
        lines, last = lines[:at], lines[at]
    settings = _settings(last)
    width, height = _matched(_SIZE, settings, "Size").groups()
    model = _shown(_unquoted(settings.get("Model", "")))
    guidance = (models.titled_or_default(model)).guidance.default
    if "CFG scale" in settings:
        guidance = max(0.0, float(Decimal(_matched(_DECIMAL, settings, "CFG scale")[0]) - 1))
    at = next((number for number, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).removeprefix(NEGATIVE).strip()
    return ImageSpec(
        prompt="\n".join(lines[:at]).strip(),
        width=int(width),
        height=int(height),
        seed=int(_matched(_WHOLE, settings, "Seed")[0]),
        steps=int(_matched(_WHOLE, settings, "Steps")[0]),
        guidance_scale=guidance,
        # Those tools write it even without guidance, where it has no effect.
        negative_prompt=negative if guidance else "",
        model=model,
    )


def _settings(line: str) -> dict[str, str]:
    """Return the values of ``Steps: 8, Model: "a, b"`` by name; the first one of a name that occurs twice."""
    settings: dict[str, str] = {}
    at = 0
    while at < len(line):
        match = _SETTING.match(line, at)
        if match is not None:
            settings.setdefault(match[1].strip(), match[2].strip())
        at = match.end() if match is not None else (line.find(",", at) + 1 or len(line))
    return settings


def _matched(pattern: re.Pattern[str], settings: Mapping[str, str], name: str) -> re.Match[str]:
    match = pattern.fullmatch(_text(settings, name))
    if match is None:
        raise Refusal(_DAMAGED)
    return match


def _unquoted(value: str) -> str:
    """Return the value without quotes: values with commas are written as JSON strings."""
    if not value.startswith('"'):
        return value
    try:
        decoded: object = json.loads(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, str) else value


def _clean(text: str) -> str:
    return _DROPPED.sub("", _TERMINAL_CODE.sub("", text)).strip()


def _shown(name: str) -> str:
    return cut(" ".join(_clean(name).split()), _MODEL_LIMIT)
