"""Parameters as text: from the metadata that a picture brings to a spec, and from a spec to what a member can paste.

Metadata is written by anybody, so it is read as a stranger's message is: little of it, every field for itself, and the
spec that comes of it is checked like one that a member typed. Nothing in it names a file, a model or an image of ours:
an edit's source and mask are left out, or a changed text would bring out other people's pictures.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from bot.errors import Refusal
from bot.media.metadata import FIELD
from bot.requests.flags import EDIT_FLAGS, FLAGS, read_flags
from bot.requests.spec import MIN_STRENGTH, ImageOptions, ImageSpec
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import InvalidRequest

TEXT_LIMIT = 64 * 1024
"""Characters of metadata that are read at all."""

_MODEL_LIMIT = 80
_DIGITS_LIMIT = 30
_PARAMETERS = "parameters"
_NEGATIVE = "Negative prompt:"
_WHOLE = re.compile(r"\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,4}(?:\.\d{1,10})?", re.ASCII)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
# Matched from one setting to the next and never searched for, so that no line takes long.
_SETTING = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|\Z)')
_TERMINAL_CODE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
# Control characters but tab and line feed, halves of characters, and what turns the direction of the text around it.
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_NOTHING = "There are no parameters in this picture; send the file as it was first saved, not a screenshot or a copy."
_TOO_LONG = "The parameters in this picture are longer than 64 kB, and I read no more; send another picture."
_DAMAGED = "The parameters in this picture are damaged; send the file as it was first saved."


def read_spec(text: Mapping[str, str], profile: ModelProfile) -> ImageSpec:
    """The spec that a picture's text chunks tell, in the profile's ranges: our own field, else ``parameters``.

    ``parameters`` is what AUTOMATIC1111 and others write; their CFG scale is the guidance scale + 1, and 1 or less
    turns guidance off. Control characters are dropped from prompts. ``model`` is a stranger's word, to be shown and
    nothing else, "" where none is told. The strength of an edit is kept, its source and mask are not.

    Raises :class:`Refusal` where there is nothing to read, or nothing that the profile can draw.
    """
    if FIELD in text:
        spec = _from_json(_limited(text[FIELD]))
    elif _PARAMETERS in text:
        spec = _from_settings(_limited(text[_PARAMETERS]), profile)
    else:
        raise Refusal(_NOTHING)
    try:
        profile.check(spec.request(""))
    except InvalidRequest as error:
        raise Refusal(f"The parameters in this picture cannot be used here: {error}") from error
    return spec


def parameters_text(spec: ImageSpec) -> str:
    """Everything that draws the image again, to be copied: a prompt with flags on one line where that can be.

    The line goes into ``/imagine``, an edit's into ``/edit`` beside its source. A prompt that has several lines, or
    something that would be read as a flag, cannot be written so: then each option stands on a line of its own.
    """
    edit = bool(spec.original) or spec.strength != 1
    given = {
        "size": str(spec.size),
        "seed": str(spec.seed),
        "steps": str(spec.steps),
        "guidance": _shortest(spec.guidance_scale),
    }
    if edit:
        given["strength"] = _shortest(spec.strength)
    if spec.negative_prompt:
        # Last, since it goes on to the end of the line.
        given["negative"] = spec.negative_prompt
    line = " ".join([spec.prompt, *(f"--{name} {value}" for name, value in given.items())])
    if len(line.splitlines()) == 1 and _reads_as(line, spec, edit=edit):
        return line
    fields = {"prompt": spec.prompt, **given, "model": spec.model}
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def _reads_as(line: str, spec: ImageSpec, *, edit: bool) -> bool:
    """Whether the line's flags say what the spec says."""
    try:
        options = read_flags(ImageOptions(line), EDIT_FLAGS if edit else FLAGS)
    except InvalidRequest:
        return False
    return options == ImageOptions(
        prompt=spec.prompt,
        negative=spec.negative_prompt or None,
        size=str(spec.size),
        seed=spec.seed,
        steps=spec.steps,
        guidance=spec.guidance_scale,
        strength=spec.strength if edit else None,
    )


def _shortest(number: float) -> str:
    """As few digits as give the same number again."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _limited(text: str) -> str:
    if len(text) > TEXT_LIMIT:
        raise Refusal(_TOO_LONG)
    return text


def _from_json(text: str) -> ImageSpec:
    """What ``ImageSpec.fields`` wrote. Fields that it does not have are passed over."""
    fields = _parse_object(text)
    strength = _number(fields, "strength") if "strength" in fields else 1.0
    if not MIN_STRENGTH <= strength <= 1:
        raise Refusal(
            f"The strength in this picture's parameters is not from {MIN_STRENGTH:g} to 1; send another picture."
        )
    return ImageSpec(
        prompt=_clean(_text(fields, "prompt")),
        width=_whole(fields, "width"),
        height=_whole(fields, "height"),
        seed=_whole(fields, "seed"),
        steps=_whole(fields, "steps"),
        guidance_scale=_number(fields, "guidance_scale"),
        negative_prompt=_clean(_text(fields, "negative_prompt")),
        model=_shown(_text(fields, "model")),
        strength=strength,
    )


def _parse_object(text: str) -> dict[str, object]:
    """JSON of one object with finite numbers of few digits and no name twice."""
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


def _whole(fields: Mapping[str, object], name: str) -> int:
    value = _field(fields, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(_DAMAGED)
    return value


def _number(fields: Mapping[str, object], name: str) -> float:
    value = _field(fields, name)
    return value if isinstance(value, float) else float(_whole(fields, name))


def _field(fields: Mapping[str, object], name: str) -> object:
    if name not in fields:
        said = name.lower().replace("_", " ")
        raise Refusal(f"The parameters in this picture do not say the {said}; send the file as it was first saved.")
    return fields[name]


def _from_settings(text: str, profile: ModelProfile) -> ImageSpec:
    """The layout of AUTOMATIC1111: prompt lines, ``Negative prompt:`` lines, a line of settings."""
    *lines, last = _clean(text).split("\n")
    if not last.startswith("Steps:") and any(line.startswith("Steps:") for line in lines):
        # Some tools add lines of their own behind the settings.
        at = max(number for number, line in enumerate(lines) if line.startswith("Steps:"))
        lines, last = lines[:at], lines[at]
    settings = _settings(last)
    width, height = _matched(_SIZE, settings, "Size").groups()
    guidance = profile.guidance.default
    if "CFG scale" in settings:
        guidance = max(0.0, float(Decimal(_matched(_DECIMAL, settings, "CFG scale")[0]) - 1))
    at = next((number for number, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).removeprefix(_NEGATIVE).strip()
    return ImageSpec(
        prompt="\n".join(lines[:at]).strip(),
        width=int(width),
        height=int(height),
        seed=int(_matched(_WHOLE, settings, "Seed")[0]),
        steps=int(_matched(_WHOLE, settings, "Steps")[0]),
        guidance_scale=guidance,
        # Without guidance it had no effect, though those tools write it down.
        negative_prompt=negative if guidance else "",
        model=_shown(_unquoted(settings.get("Model", ""))),
    )


def _settings(line: str) -> dict[str, str]:
    """``Steps: 8, Model: "a, b"`` by name; of a name that stands twice the first."""
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
    """Values with commas are written as JSON strings."""
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
    line = " ".join(_clean(name).split())
    return line if len(line) <= _MODEL_LIMIT else line[: _MODEL_LIMIT - 1] + "…"
