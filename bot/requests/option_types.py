"""What the table of options is made of: the class of its rows, and the texts of values of each type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, Literal, TypeVar, get_args

from bot.requests.spec import ImageOptions, ImageSpec
from zimage_engine.catalog import PROFILES
from zimage_engine.profiles import ModelProfile, SizeName, parse_aspect
from zimage_engine.types import InvalidRequest

SlashCommand = Literal["imagine", "edit", "settings"]
Condition = Callable[[ModelProfile, int], bool]
"""Of the profile and the operator's ``max_count``."""

V = TypeVar("V")

MODEL_NAMES = tuple(PROFILES)
"""The names that a model may have here; a bot has some of them."""

SIZE_NAMES: tuple[SizeName, ...] = get_args(SizeName)

_WHOLE = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,4}(?:[.,]\d{1,6})?", re.ASCII)
_PIXELS = re.compile(r"\d{1,5}[x×*]\d{1,5}", re.ASCII)
_FITS = ("crop", "pad")


@dataclass(frozen=True, slots=True)
class MemberDefault(Generic[V]):
    """How an option works as a member's own default.

    ``builtin`` is the program's default, as text. ``applied`` takes the member's value, the options given, the profile
    and the largest count; it returns the value to use, or None to leave the option out. ``note`` returns what the line
    under a result says about the value, "" for nothing. Edits use the default only if ``for_edits``.
    """

    builtin: str
    applied: Callable[[V, ImageOptions, ModelProfile, int | None], V | None]
    note: Callable[[V], str]
    for_edits: bool = False


@dataclass(frozen=True, slots=True)
class FormField(Generic[V]):
    """A text field of the edit form. ``default`` returns the value it is filled with, None to leave the field out."""

    label: str
    hint: str
    takes: str
    length_max: int
    default: Callable[[ModelProfile], V | None]
    parse: Callable[[str], V | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option(Generic[V]):
    """An option of a picture.

    ``name`` is the field of :class:`ImageOptions`, the slash option and the member's setting.

    Values: ``parse`` returns the value of a text, None if it is not one; ``format`` returns the shortest text that
    parses as the value; ``example`` is such a text. ``bounds`` returns the smallest and the largest number allowed.

    Flags: ``takes`` completes the sentence "--flag takes …"; with ``rest_of_text`` the value extends to the next flag;
    ``alone`` is the value of the flag without one, None if it needs one. ``instead`` says what to do where the model
    does not offer the option.

    Commands: ``slash`` has the description in each slash command that offers the option, if ``offered`` is true or
    None. Where that differs between the bot's models, it is ``slash_of_models`` instead: what the option is, and what
    it is for one of them. ``help`` names the option in ``/help``, ``help_flag`` is the example flag there, shown if
    ``help_flag_if`` is true or None. These texts are filled in by :func:`bot.requests.options.fill`.

    Pictures: ``of_spec`` returns the value that generates the spec's image again, None if it need not be said.
    ``result`` returns the option's part of the line under a result, ``png_setting`` its part of the ``parameters``
    of a PNG besides the settings that every tool writes; both "" for none.
    """

    name: str
    value_type: type[V]
    parse: Callable[[str], V | None]
    example: str
    format: Callable[[V], str] = str
    takes: str = ""
    flags: tuple[str, ...] = ()
    rest_of_text: bool = False
    alone: V | None = None
    instead: str = ""
    edits_only: bool = False
    bounds: Callable[[ModelProfile, int], tuple[float, float]] | None = None
    offered: Condition | None = None
    slash: Mapping[SlashCommand, str] = field(default_factory=dict)
    slash_of_models: tuple[str, str] = ("", "")
    help: str = ""
    help_flag: str = ""
    help_flag_if: Condition | None = None
    member: MemberDefault[V] | None = None
    form: FormField[V] | None = None
    of_spec: Callable[[ImageSpec], V | None] | None = None
    result: Callable[[ImageSpec], str] | None = None
    png_setting: Callable[[ImageSpec], str] | None = None

    def offered_by(self, profile: ModelProfile, max_count: int) -> bool:
        return self.offered is None or self.offered(profile, max_count)

    def example_fits(self, profile: ModelProfile, max_count: int) -> bool:
        """Return whether ``/help`` shows the example flag."""
        fits = self.help_flag_if is None or self.help_flag_if(profile, max_count)
        return fits and self.offered_by(profile, max_count)


def parse_whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def parse_decimal(text: str) -> float | None:
    """Return the number of a text with a decimal point or, as many languages write it, a comma."""
    return float(text.replace(",", ".")) if _DECIMAL.fullmatch(text) else None


def parse_any_float(text: str) -> float | None:
    try:
        return float(text[:8])
    except ValueError:
        return None


def format_decimal(number: float) -> str:
    """Return the fewest digits that give the same number again, without an exponent."""
    return f"{Decimal(repr(float(number))):f}".removesuffix(".0")


def parse_text(text: str) -> str | None:
    return text or None


def parse_on_or_off(text: str) -> bool | None:
    return {"on": True, "true": True, "off": False, "false": False}.get(text.lower())


def format_on_or_off(value: bool) -> str:  # noqa: FBT001 - the value of an option
    return "on" if value else "off"


def parse_aspect_text(text: str) -> str | None:
    try:
        parse_aspect(text)
    except InvalidRequest:
        return None
    return text


def parse_model(text: str) -> str | None:
    """Return the name of a profile, which need not be one of the bot's models."""
    return text.lower() if text.lower() in MODEL_NAMES else None


def parse_size(text: str) -> str | None:
    return text if text.lower() in SIZE_NAMES or _PIXELS.fullmatch(text) else None


def parse_fit(text: str) -> str | None:
    return text.lower() if text.lower() in _FITS else None
