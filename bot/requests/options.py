"""The options of a picture: one table, a row per option.

Flags, ``/help``, slash descriptions, ``/settings``, the edit form, details and PNG metadata are made from it.
The signatures of slash commands and the fields of :class:`ImageOptions`, :class:`ImageSpec` and
:class:`MemberSettings` are written out; ``tests/requests/test_options.py`` compares them with the table.
To add an option follow "Add a picture option" in docs/changing.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.plurals import counted
from bot.requests.option_types import (
    MODEL_NAMES,
    SIZE_NAMES,
    FormField,
    MemberDefault,
    Option,
    format_decimal,
    format_on_or_off,
    parse_any_float,
    parse_aspect_text,
    parse_decimal,
    parse_fit,
    parse_model,
    parse_on_or_off,
    parse_size,
    parse_text,
    parse_whole,
)
from bot.requests.spec import MIN_STRENGTH, ImageOptions, ImageSpec
from zimage_engine.catalog import GPU_PROFILE
from zimage_engine.profiles import SEED_LIMIT, ModelProfile


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """A member's own defaults; None is "not set".

    ``aspect`` like 16:9, ``size`` a size's name, ``count`` from 1, ``model`` a profile's name.
    """

    aspect: str | None = None
    size: str | None = None
    count: int | None = None
    private: bool | None = None
    model: str | None = None


def _applied_aspect(aspect: str, options: ImageOptions, _: ModelProfile, __: int | None) -> str | None:
    """Return the aspect as it is applied; None if the size is in pixels, which has an aspect of its own."""
    in_pixels = options.size is not None and any(letter.isdigit() for letter in options.size)
    return None if in_pixels else parse_aspect_text(aspect)


ASPECT: Option[str] = Option(
    name="aspect",
    value_type=str,
    parse=parse_aspect_text,
    example="16:9",
    takes="width:height from 1:4 to 4:1, like 16:9",
    flags=("ar", "aspect"),
    slash={"imagine": "Width : height", "settings": "Width : height of new pictures"},
    help="`aspect`",
    help_flag="--ar 16:9",
    member=MemberDefault("1:1", _applied_aspect, lambda aspect: "" if aspect == "1:1" else aspect),
)
SIZE: Option[str] = Option(
    name="size",
    value_type=str,
    parse=parse_size,
    example="large",
    takes=f"{', '.join(SIZE_NAMES)} or pixels like 256x256",
    flags=("size",),
    slash={
        "imagine": "{size_names}, or pixels like {profile.base_size}",
        "settings": "Size of new pictures",
    },
    slash_of_models=("A named size, or pixels; usually", "{profile.name} {profile.base_size}"),
    help="`size` ({sizes}, or pixels like `{profile.base_size}`)",
    help_flag="--size large",
    member=MemberDefault(
        "medium",
        lambda size, _, profile, __: size if size in profile.scales else None,
        lambda size: "" if size == "medium" else size,
    ),
    of_spec=lambda spec: str(spec.size),
    result=lambda spec: f"{spec.width}×{spec.height}",
)
COUNT: Option[int] = Option(
    name="count",
    value_type=int,
    parse=parse_whole,
    example="2",
    takes="a whole number of pictures",
    flags=("count",),
    bounds=lambda _, max_count: (1, max_count),
    slash={
        "imagine": "How many pictures, 1 to {max_count}",
        "edit": "How many pictures, 1 to {max_count}",
        "settings": "How many pictures at a time, 1 to {max_count}",
    },
    help="`count` up to {max_count}",
    help_flag="--count {max_count}",
    help_flag_if=lambda _, max_count: max_count > 1,
    member=MemberDefault(
        "1",
        lambda count, _, __, max_count: count if max_count is None else min(count, max_count),
        lambda count: f"{count} pictures" if count > 1 else "",
        for_edits=True,
    ),
)
SEED: Option[int] = Option(
    name="seed",
    value_type=int,
    parse=parse_whole,
    example="7",
    takes=f"a whole number from 0 to {SEED_LIMIT - 1}",
    flags=("seed",),
    bounds=lambda _, __: (0, SEED_LIMIT - 1),
    slash={
        "imagine": "The same seed gives the same picture again",
        "edit": "The same seed makes the same change again",
    },
    help="`seed`",
    help_flag="--seed 7",
    of_spec=lambda spec: spec.seed,
)
STEPS: Option[int] = Option(
    name="steps",
    value_type=int,
    parse=parse_whole,
    example="8",
    takes="a whole number of steps",
    flags=("steps",),
    bounds=lambda profile, _: (profile.steps.low, profile.steps.high),
    slash={
        "imagine": "Denoising steps, {profile.steps.low:g} to {profile.steps.high:g}; "
        "usually {profile.steps.default:g}",
        "edit": "Denoising steps, {profile.steps.low:g} to {profile.steps.high:g}",
    },
    slash_of_models=("Denoising steps:", "{profile.name} {profile.steps.low:g} to {profile.steps.high:g}"),
    help="`steps`",
    help_flag="--steps {profile.steps.default:g}",
    of_spec=lambda spec: spec.steps,
    result=lambda spec: counted(spec.steps, "step"),
)
STRENGTH_MEANING = f"{MIN_STRENGTH:g} to 1: lower keeps more of the picture"
"""How strength is explained wherever it is set."""

STRENGTH: Option[float] = Option(
    name="strength",
    value_type=float,
    parse=parse_decimal,
    format=format_decimal,
    example="0.5",
    takes=f"a number from {MIN_STRENGTH:g} to 1, like 0.5",
    flags=("strength",),
    edits_only=True,
    bounds=lambda _, __: (MIN_STRENGTH, 1),
    slash={"edit": f"{STRENGTH_MEANING}; usually {{profile.strength:g}}"},
    slash_of_models=(f"{STRENGTH_MEANING}; usually", "{profile.name} {profile.strength:g}"),
    form=FormField(
        label="Strength",
        hint=STRENGTH_MEANING,
        takes=f"a number from {MIN_STRENGTH:g} to 1, like 0.6",
        length_max=6,
        default=lambda profile: profile.strength if profile.editing == "img2img" else None,
        parse=parse_any_float,
    ),
    of_spec=lambda spec: spec.strength if spec.original or spec.strength != 1 else None,
    result=lambda spec: f"strength {spec.strength:g}" if spec.original else "",
    png_setting=lambda spec: f"Denoising strength: {spec.strength:g}" if spec.original else "",
)
GUIDANCE: Option[float] = Option(
    name="guidance",
    value_type=float,
    parse=parse_decimal,
    format=format_decimal,
    example="4",
    takes="a number, like 4",
    flags=("guidance",),
    bounds=lambda profile, _: (profile.guidance.low, profile.guidance.high),
    offered=lambda profile, _: profile.guidance.high > 0,
    slash={"imagine": "How closely to follow the prompt, {profile.guidance.low:g} to {profile.guidance.high:g}"},
    slash_of_models=(
        "How closely to follow the prompt:",
        "{profile.name} {profile.guidance.low:g} to {profile.guidance.high:g}",
    ),
    help_flag="--guidance {profile.guidance.default:g}",
    of_spec=lambda spec: spec.guidance_scale,
    result=lambda spec: f"guidance {spec.guidance_scale:g}" if spec.guidance_scale else "",
)
NEGATIVE: Option[str] = Option(
    name="negative",
    value_type=str,
    parse=parse_text,
    example="blur",
    takes="what the picture should not show, like blur",
    flags=("no", "negative"),
    rest_of_text=True,
    instead="say in the prompt what you want to see instead",
    offered=lambda profile, _: profile.negative_prompt,
    slash={"imagine": "What the picture should not show"},
    help_flag="--no blur",
    of_spec=lambda spec: spec.negative_prompt or None,
)
WHICH: Option[int] = Option(
    name="which",
    value_type=int,
    parse=parse_whole,
    example="2",
    takes="the number of a picture, like 2",
    flags=("image",),
    edits_only=True,
)
FIT: Option[str] = Option(
    name="fit",
    value_type=str,
    parse=parse_fit,
    example="crop",
    takes="crop or pad",
    flags=("fit",),
    edits_only=True,
    slash={"edit": "How a picture of another shape is fitted: crop or pad"},
)
PRIVATE: Option[bool] = Option(
    name="private",
    value_type=bool,
    parse=parse_on_or_off,
    format=format_on_or_off,
    example="on",
    takes="on or off",
    flags=("private",),
    alone=True,
    slash={
        "imagine": "Only you see the picture",
        "edit": "Only you see the picture",
        "settings": "Whether you alone see your pictures",
    },
    help="`private` (only you see it)",
    member=MemberDefault(
        "off", lambda private, *_: private, lambda private: "private" if private else "", for_edits=True
    ),
)

MODEL: Option[str] = Option(
    name="model",
    value_type=str,
    parse=parse_model,
    example=GPU_PROFILE,
    takes=f"one of {', '.join(MODEL_NAMES)}",
    flags=("model",),
    slash={
        "imagine": "Which model makes it; /help says what each is for",
        "edit": "Which model makes it; the picture's own, or yours, if left out",
        "settings": "Which model makes new pictures",
    },
    # The member's model is chosen before the other options are read, since it decides what they may be.
    member=MemberDefault("", lambda *_: None, lambda model: model),
)
"""Offered only if the bot has several models, which :class:`bot.requests.models.Models` knows."""

OPTIONS: tuple[Option[Any], ...] = (
    ASPECT,
    SIZE,
    COUNT,
    SEED,
    STEPS,
    STRENGTH,
    GUIDANCE,
    NEGATIVE,
    WHICH,
    FIT,
    PRIVATE,
    MODEL,
)
"""Every option, in the order in which members read about them."""


def fill(template: str, profile: ModelProfile, max_count: int) -> str:
    """Return a text of the table for this profile: ``{profile.…}`` and ``{max_count}`` filled in.

    So are ``{size_names}``, and with backticks ``{sizes}``.
    """
    sizes = ", ".join(f"`{name}`" for name in profile.scales)
    return template.format(profile=profile, max_count=max_count, sizes=sizes, size_names=", ".join(profile.scales))


def options_of(spec: ImageSpec) -> ImageOptions:
    """Return the options that generate the spec's image again, given the original of an edit."""
    values: dict[str, Any] = {option.name: option.of_spec(spec) for option in OPTIONS if option.of_spec is not None}
    return ImageOptions(spec.prompt, **values)
