"""The rules of model profiles: what a model can do, and the checks of requests against it.

The profiles themselves stand in :mod:`zimage_engine.catalog`; no code compares their names. A profile is complete
before the weights are loaded: what the catalog does not say is read from the model's small config files.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Literal

from zimage_engine.excerpts import excerpt
from zimage_engine.types import ImageFile, ImageRequest, InvalidRequest
from zimage_engine.work import Dimensions

Editing = Literal["none", "img2img", "instruction"]
"""How a model edits pictures."""
SizeName = Literal["small", "medium", "large"]
"""The named sizes; a profile has some of them."""

ASPECTS: tuple[str, ...] = ("1:1", "4:3", "3:4", "3:2", "2:3", "5:3", "3:5", "16:9", "9:16")
"""The offered aspects; any other from 1:4 to 4:1 can be typed."""

SEED_LIMIT = 2**32
"""Seeds are below this: torch's CPU generator takes 32 bits, so 5 and 5 + 2³² give the same noise."""

PROMPT_LIMIT = 4000
"""The most characters that a prompt or a negative prompt may have."""

DEFAULT_STRENGTH = 0.6
"""Diffusers' own default for img2img."""

ASPECT_MAX = 4
"""The longest side ÷ the shortest one of any size."""


@dataclass(frozen=True, slots=True)
class Size:
    """A width and a height in pixels; its text is like ``320x192``."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width × height."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Range:
    """A range with both ends included, and the default in it. ``value in range`` says whether it holds a value."""

    low: float
    high: float
    default: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What a model can do, and the defaults of its requests. Get one by :func:`find_profile`.

    - ``name``; for people, ``title`` and ``purpose``. ``weights``: a folder in diffusers' layout, or a hub id.
    - ``steps``, ``guidance``, ``negative_prompt``: the ranges of both, and whether it takes a negative prompt.
    - ``base_side``: the side of the square base size, in pixels. ``max_pixels``: the most that a picture may have.
    - ``scales``: the side of each named size as a multiple of ``base_side``.
    - ``editing``: ``none``; ``img2img``, by prompt, strength and mask; or ``instruction``, by prompt alone.
    - ``strength``: that of an edit that names none and has no mask; with a mask it is 1.
    - ``dimensions``: the published model's; ``random_weights``: True if ``zimage-bot bench`` builds such a model.

    :func:`complete_profile` reads the rest, and the real ``dimensions``, from the model's config files:

    - ``size_multiple``: both sides of a picture are multiples of it; the model's ``vae_scale_factor × 2``. 0: not read.
    - ``width_max``, ``height_max``: the pixels that the model's tables of positions reach; 0: no limit.
    - ``image_patches``: the size of SigLIP's view of an image; 0 unless the model edits by instruction.
    """

    name: str
    title: str
    weights: str
    steps: Range
    guidance: Range
    negative_prompt: bool
    base_side: int
    scales: dict[SizeName, float]
    max_pixels: int
    editing: Editing
    dimensions: Dimensions
    strength: float = DEFAULT_STRENGTH
    purpose: str = ""
    random_weights: bool = False
    size_multiple: int = 0
    width_max: int = 0
    height_max: int = 0
    image_patches: int = 0

    @property
    def base_size(self) -> Size:
        """The size of a picture unless another one is asked for: a square of ``base_side``."""
        return Size(self.base_side, self.base_side)

    def request(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        size: Size | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        original: ImageFile | None = None,
        mask: ImageFile | None = None,
        strength: float | None = None,
        keep_outside: bool = False,
        previews: bool = False,
    ) -> ImageRequest:
        """Return a request with a new id. What is left out is the profile's default, and the seed a random one.

        The parameters are the fields of :class:`ImageRequest`. :meth:`Engine.submit` and :meth:`check` check them.
        """
        size = size or self.base_size
        if strength is None:
            strength = 1.0 if original is None or mask is not None else self.strength
        return ImageRequest(
            id=os.urandom(8).hex(),
            prompt=prompt,
            width=size.width,
            height=size.height,
            steps=int(self.steps.default) if steps is None else steps,
            seed=int.from_bytes(os.urandom(4)) if seed is None else seed,
            guidance_scale=self.guidance.default if guidance_scale is None else guidance_scale,
            negative_prompt=negative_prompt,
            original=original,
            mask=mask,
            strength=strength,
            keep_outside=keep_outside,
            previews=previews,
            model=self.name,
        )

    def size_for(self, aspect: Fraction, name: SizeName = "medium") -> Size:
        """Return the size nearest to an aspect (width ÷ height) and a named area.

        Both sides are multiples of ``size_multiple``: of the four ways to round them, it is the one with the smallest
        ``|log aspect error| + ½ |log area error|``. Raises :class:`InvalidRequest` for an aspect beyond 4:1.
        """
        if not Fraction(1, ASPECT_MAX) <= aspect <= ASPECT_MAX:
            raise InvalidRequest(f"The aspect must lie between 1:{ASPECT_MAX} and {ASPECT_MAX}:1, like 16:9.")
        area = (self.base_side * self.scales[name]) ** 2
        unit = self.size_multiple
        across, down = math.sqrt(area * aspect) / unit, math.sqrt(area / aspect) / unit

        def error(wide: int, tall: int) -> float:
            return abs(math.log(wide / tall / aspect)) + 0.5 * abs(math.log(wide * tall * unit * unit / area))

        roundings = product({math.floor(across), math.ceil(across)}, {math.floor(down), math.ceil(down)})
        wide, tall = min((cells for cells in sorted(roundings) if min(cells) > 0), key=lambda cells: error(*cells))
        return Size(wide * unit, tall * unit)

    def offered_sizes(self) -> dict[SizeName, list[Size]]:
        """Return the sizes of the usual aspects, from 9:16 to 16:9, by the size's name and without repeats."""
        aspects = [parse_aspect(text) for text in ASPECTS]
        return {name: list(dict.fromkeys(self.size_for(aspect, name) for aspect in aspects)) for name in self.scales}

    def check(self, request: ImageRequest) -> None:
        """Raise :class:`InvalidRequest`, which says what is allowed, unless the model can do this request."""
        check_prompt(request.prompt)
        check_seed(request.seed)
        self.check_size(Size(request.width, request.height))
        self.check_steps(request.steps)
        self.check_guidance(request.guidance_scale)
        if request.negative_prompt:
            self.check_negative_prompt(request.negative_prompt, request.guidance_scale)
        if request.original is not None:
            self.check_edit(request.strength, masked=request.mask is not None)
            if request.real_steps < 1:
                raise InvalidRequest(f"Strength {request.strength:g} is too small to change anything.")
        elif request.mask is not None:
            raise InvalidRequest("A mask needs a picture to go with it.")

    def check_edit(self, strength: float, *, masked: bool) -> None:
        """Raise :class:`InvalidRequest` unless the model edits with this strength and, if ``masked``, with a mask."""
        if self.editing == "none":
            raise InvalidRequest(f"{self.title} cannot change pictures that are given to it.")
        if self.editing == "instruction" and (masked or strength != 1):
            raise InvalidRequest(f"{self.title} changes pictures as the prompt says: leave out mask and strength.")
        if not 0 < strength <= 1:
            raise InvalidRequest(f"Strength must be above 0 and at most 1, not {strength:g}.")

    def check_steps(self, steps: int) -> None:
        """Raise :class:`InvalidRequest` unless the number of steps lies in the profile's range."""
        if steps not in self.steps:
            raise InvalidRequest(
                f"Steps must be from {self.steps.low:g} to {self.steps.high:g} for {self.title}, not {steps}."
            )

    def check_guidance(self, scale: float) -> None:
        """Raise :class:`InvalidRequest` unless the guidance scale lies in the profile's range."""
        if scale in self.guidance:
            return
        if self.guidance.high == 0:
            raise InvalidRequest(f"{self.title} takes no guidance: leave it out.")
        raise InvalidRequest(
            f"Guidance must be from {self.guidance.low:g} to {self.guidance.high:g} for {self.title}, not {scale:g}."
        )

    def check_negative_prompt(self, text: str, scale: float) -> None:
        """Raise :class:`InvalidRequest` if the model takes none, guidance is off, or the text is too long."""
        if not self.negative_prompt:
            raise InvalidRequest(
                f"{self.title} takes no negative prompt: say in the prompt what you want to see instead."
            )
        if scale == 0:
            raise InvalidRequest("A negative prompt needs a guidance above 0.")
        if len(text) > PROMPT_LIMIT:
            raise InvalidRequest(f"The negative prompt has {len(text):,} characters; it may have {PROMPT_LIMIT:,}.")

    def check_size(self, size: Size) -> None:
        """Raise :class:`InvalidRequest` unless the model can generate this size."""
        unit, shown = self.size_multiple, f"{size.width}×{size.height}"
        if size.width < 1 or size.height < 1 or size.width % unit or size.height % unit:
            raise InvalidRequest(
                f"{shown} is not a size that {self.title} can generate: both sides must be multiples of {unit}, "
                f"for example {_to_multiple(size.width, unit)}×{_to_multiple(size.height, unit)}."
            )
        if not Fraction(1, ASPECT_MAX) <= Fraction(size.width, size.height) <= ASPECT_MAX:
            raise InvalidRequest(f"{shown} is too narrow: one side may be at most {ASPECT_MAX} times the other.")
        widest, tallest = self.width_max or size.width, self.height_max or size.height
        if size.width > widest or size.height > tallest:
            raise InvalidRequest(f"{shown} is too large: {self.title} generates up to {widest}×{tallest}.")
        if size.pixels > self.max_pixels:
            side = math.isqrt(self.max_pixels)
            raise InvalidRequest(
                f"{shown} is too large: {self.title} generates up to {self.max_pixels:,} pixels, like {side}×{side}."
            )


def _to_multiple(side: int, unit: int) -> int:
    return max(1, round(side / unit)) * unit


_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})  # Unicode's categories of control and format characters and of surrogates


def is_blank(text: str) -> bool:
    """Return whether a text has nothing visible: white space and characters such as zero-width spaces at most."""
    return all(character.isspace() or unicodedata.category(character) in _INVISIBLE for character in text)


def check_prompt(prompt: str) -> None:
    """Raise :class:`InvalidRequest` for a prompt that is blank or longer than 4,000 characters."""
    if is_blank(prompt):
        raise InvalidRequest("The prompt is empty: say what the picture should show.")
    if len(prompt) > PROMPT_LIMIT:
        raise InvalidRequest(f"The prompt has {len(prompt):,} characters; it may have {PROMPT_LIMIT:,}.")


def check_seed(seed: int) -> None:
    """Raise :class:`InvalidRequest` unless the seed is from 0 to 2³²−1."""
    if not 0 <= seed < SEED_LIMIT:
        raise InvalidRequest(f"The seed must be from 0 to {SEED_LIMIT - 1}.")


def check_mask(mask: bytes) -> None:
    """Raise :class:`InvalidRequest` if no byte of the mask reaches ``MASK_THRESHOLD``."""
    # Bytes below 128 are ASCII: the fastest way to search megabytes for a higher one.
    if mask.isascii():
        raise InvalidRequest("The mask marks nothing: paint white what is to be changed.")


def parse_aspect(text: str) -> Fraction:
    """Parse ``"16:9"`` (or ``16x9``, ``16/9``, ``1.78``) to width ÷ height. Raises :class:`InvalidRequest`."""
    match = re.fullmatch(r"\s*(\d{1,4}(?:\.\d{1,4})?)\s*(?:[:x×/]\s*(\d{1,4}(?:\.\d{1,4})?))?\s*", text, re.ASCII)
    parts = [Fraction(part) for part in match.groups() if part is not None] if match else []
    if not parts or not all(parts):
        raise InvalidRequest(f"“{excerpt(text, 20)}” is not an aspect; write width:height, like 16:9.")
    aspect = parts[0] if len(parts) == 1 else parts[0] / parts[1]
    if not Fraction(1, ASPECT_MAX) <= aspect <= ASPECT_MAX:
        raise InvalidRequest(f"The aspect must lie between 1:{ASPECT_MAX} and {ASPECT_MAX}:1, like 16:9.")
    return aspect


def parse_size(text: str) -> Size:
    """Parse ``"320x192"`` to a size. Raises :class:`InvalidRequest`."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*[x×*]\s*(\d{1,5})\s*", text, re.ASCII)
    if match is None:
        raise InvalidRequest(f"“{excerpt(text, 20)}” is not a size; write width x height in pixels, like 320x192.")
    return Size(int(match[1]), int(match[2]))
