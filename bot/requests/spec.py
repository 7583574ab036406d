"""What determines an image, and what a member's options and flags make of it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace

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

_STORED_AS = {"original": "source"}
"""Fields whose key in JSON is not their name: rows and pictures keep the key that they were written with."""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Everything that determines an image: reproducing it needs the spec and the model, nothing else.

    Sizes in pixels; the seed from 0 to 2³²−1. An edit names its source and its mask by what they show
    (see :mod:`bot.requests.originals`) and has a strength from 0.05 to 1.
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
        """The spec of a job's image at ``position``: the seed counts up and wraps at 2³²."""
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
        """Return the spec as it is stored in the database and inside a picture; what only edits have, only for them."""
        fields = {_STORED_AS.get(name, name): getattr(self, name) for name in self.__dataclass_fields__}
        if not self.original:
            del fields["strength"], fields["source"]
        if not self.mask:
            del fields["mask"]
        return fields

    @classmethod
    def from_json(cls, text: str) -> ImageSpec:
        """Read what :meth:`to_json` wrote: the database's own rows, not strangers' text."""
        fields = json.loads(text)
        return cls(
            **{name: fields[key] for name in cls.__dataclass_fields__ if (key := _STORED_AS.get(name, name)) in fields}
        )

    def to_json(self) -> str:
        return json.dumps(self.fields(), ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What a member asked for, before the profile had its say. None is "not said".

    With ``verbatim`` the prompt is one that was drawn before: what looks like a flag in it is none.
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
    verbatim: bool = False


def build_spec(options: ImageOptions, profile: ModelProfile, *, max_count: int) -> tuple[ImageSpec, int]:
    """The spec and the count that the wishes come to; :class:`InvalidRequest` where they cannot be met."""
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
    """The spec (without its source) and the count of an edit; ``size`` is the one nearest to the picture's own.

    With a mask the strength is 1 where none is given: all that is inside is drawn anew.
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


def choose_size(size: str | None, aspect: str | None, profile: ModelProfile) -> Size:
    """Pixels for a size (a name, or ``320x192``) and an aspect; a size in pixels goes with no aspect."""
    name = (size or "medium").strip().lower()
    if name not in profile.scales:
        if not any(letter.isdigit() for letter in name):
            names = ", ".join(profile.scales)
            raise InvalidRequest(f"“{name[:20]}” is not a size; take {names}, or pixels like {profile.base_size}.")
        if aspect is not None:
            raise InvalidRequest("Give either a size in pixels or an aspect, not both.")
        pixels = parse_size(name)
        profile.check_size(pixels)
        return pixels
    scale: SizeName = name
    return profile.size_for(parse_aspect(aspect or "1:1"), scale)
