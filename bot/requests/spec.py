"""The options that a member gave, and the spec that they make: everything that determines an image."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, fields, replace

from bot.inert import in_quotes
from zimage_engine.profiles import (
    SEED_LIMIT,
    ModelProfile,
    Size,
    SizeName,
    check_prompt,
    check_seed,
    parse_aspect,
    parse_size,
)
from zimage_engine.types import ImageRequest, InvalidRequest

MIN_STRENGTH = 0.05
_UNREAD = "unread"
"""Stands for the name of an original that is not known yet."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Everything that determines an image: the same spec and model give the same pixels.

    ``width`` and ``height`` in pixels, ``seed`` from 0 to 2³²−1. ``model`` is the profile's title. An edit has a
    ``strength`` from 0.05 to 1 and names its ``original`` and ``mask`` by a hash of their pixels (see
    :mod:`bot.requests.originals`); "" for none.
    """

    prompt: str
    width: int
    height: int
    seed: int
    steps: int
    guidance_scale: float
    negative_prompt: str
    model: str
    strength: float = 1.0
    original: str = ""
    mask: str = ""

    @property
    def real_steps(self) -> int:
        """The number of steps that the engine runs for this image."""
        return self.steps_run(edit=bool(self.original))

    def steps_run(self, *, edit: bool) -> int:
        """Return how many steps the engine runs: an edit skips the first ones, more of them the lower its strength."""
        return self.steps - int(self.steps - self.steps * self.strength) if edit else self.steps

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def image(self, position: int) -> ImageSpec:
        """Return the spec of a job's image at ``position``, from 0: the seed counts up and wraps at 2³²."""
        return replace(self, seed=(self.seed + position) % SEED_LIMIT)

    def request(self, request_id: str) -> ImageRequest:
        return ImageRequest(
            id=request_id,
            prompt=self.prompt,
            width=self.width,
            height=self.height,
            steps=self.steps,
            seed=self.seed,
            guidance_scale=self.guidance_scale,
            negative_prompt=self.negative_prompt,
            strength=self.strength,
        )

    def fields(self) -> dict[str, str | int | float]:
        """Return the spec as it is stored in the database and in PNGs. Only edits have ``strength`` and ``source``.

        ``source`` is ``original``: rows and pictures have had that key from the first version on.
        """
        # asdict() copies every value first, which takes longer than all else that is done for a row.
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        original, mask = values.pop("original"), values.pop("mask")
        if original:
            values["source"] = original
        else:
            del values["strength"]
        if mask:
            values["mask"] = mask
        return values

    @classmethod
    def from_json(cls, text: str) -> ImageSpec:
        """Return the spec that :meth:`to_json` wrote. For the database's own rows, not for untrusted text."""
        values = json.loads(text)
        values["original"] = values.pop("source", "")
        return cls(**{name: value for name, value in values.items() if name in cls.__dataclass_fields__})

    def to_json(self) -> str:
        return _ENCODER.encode(self.fields())


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """The options of a request as they were given; None is "not given".

    ``which`` is a picture's number, from 1. ``model`` is a profile's name.

    ``private`` is whether the picture is to be private, by a flag or an option.
    With ``verbatim`` nothing in the prompt is read as a flag or an instruction. ``complete`` options are those of an
    earlier image: the member's own defaults do not add to them.
    """

    prompt: str
    negative: str | None = None
    aspect: str | None = None
    size: str | None = None
    count: int | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    fit: str | None = None
    which: int | None = None
    private: bool | None = None
    model: str | None = None
    verbatim: bool = False
    complete: bool = False


def build_spec(options: ImageOptions, profile: ModelProfile, *, max_count: int) -> tuple[ImageSpec, int]:
    """Return the spec of new images, and how many there are to be.

    What was not given comes from the profile. Raises :class:`InvalidRequest` if the profile cannot generate it.
    """
    prompt = options.prompt.strip()
    check_prompt(prompt)
    count = 1 if options.count is None else options.count
    if not 1 <= count <= max_count:
        raise InvalidRequest(f"The count must be from 1 to {max_count}, not {count}.")
    seed = secrets.randbelow(SEED_LIMIT) if options.seed is None else options.seed
    check_seed(seed)
    size = choose_size(options.size, options.aspect, profile)
    spec = ImageSpec(
        prompt=prompt,
        width=size.width,
        height=size.height,
        seed=seed,
        steps=int(profile.steps.default) if options.steps is None else options.steps,
        guidance_scale=profile.guidance.default if options.guidance is None else options.guidance,
        negative_prompt=(options.negative or "").strip(),
        model=profile.title,
    )
    profile.check(spec.request(""))
    return spec, count


def build_edit_spec(
    options: ImageOptions, profile: ModelProfile, *, max_count: int, size: Size, masked: bool
) -> tuple[ImageSpec, int]:
    """Return the spec of an edit, without its original, and how many images there are to be.

    ``size`` is used if the options have neither size nor aspect. The default strength is the profile's, and 1 with a
    mask: everything inside it is generated anew. Raises :class:`InvalidRequest` if the profile cannot generate it.
    """
    if profile.editing == "none":
        raise InvalidRequest(f"{profile.title} cannot change pictures that are given to it.")
    sized = options if options.size or options.aspect else replace(options, size=str(size))
    spec, count = build_spec(sized, profile, max_count=max_count)
    strength = options.strength
    if profile.editing == "instruction":
        strength = 1.0
    elif strength is None:
        strength = 1.0 if masked else profile.strength
    if not MIN_STRENGTH <= strength <= 1:
        raise InvalidRequest(f"Strength must be from {MIN_STRENGTH:g} to 1, not {strength:g}.")
    return replace(spec, strength=strength), count


def unread_spec(options: ImageOptions, profile: ModelProfile, *, max_count: int, masked: bool) -> tuple[ImageSpec, int]:
    """Return what is known of an edit before its picture is read, and how many images there are to be.

    Where the picture decides the size, it is the smallest: the edit costs at least as much. Raises as
    :func:`build_edit_spec`.
    """
    spec, count = build_edit_spec(options, profile, max_count=max_count, size=profile.base_size, masked=masked)
    unit = profile.size_multiple
    size = spec.size if options.size or options.aspect else Size(unit, unit)
    return replace(spec, width=size.width, height=size.height, original=_UNREAD), count


def choose_size(size: str | None, aspect: str | None, profile: ModelProfile) -> Size:
    """Return the pixels of a size (a name like large, or ``320x192``) at an aspect like ``16:9``.

    The defaults are medium and 1:1. Raises :class:`InvalidRequest` for what is no size or aspect, what the profile
    cannot generate, and a size in pixels together with an aspect.
    """
    name = (size or "medium").strip().lower()
    if name not in profile.scales:
        if not any(letter.isdigit() for letter in name):
            names = ", ".join(profile.scales)
            raise InvalidRequest(
                f"{in_quotes(name, 20)} is not a size; take {names}, or pixels like {profile.base_size}."
            )
        if aspect is not None:
            raise InvalidRequest("Give either a size in pixels or an aspect, not both.")
        pixels = parse_size(name)
        profile.check_size(pixels)
        return pixels
    scale: SizeName = name
    return profile.size_for(parse_aspect(aspect or "1:1"), scale)
