"""Somebody's image and mask at exactly the size that is drawn, never stretched. All functions block: use a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.types import InvalidRequest, RawImage

Fit = Literal["crop", "pad"]
"""``crop`` cuts off what is too wide or too tall, around the centre; ``pad`` keeps all and adds where it is short."""

_WIDEST = Fraction(4)
_ASPECT_TOLERANCE = Fraction(1, 100)
_REPAINT = 128
"""A mask's value from which the engine repaints."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An image of the size asked for, and where to repaint it: ``height · width`` bytes, 255 there and 0 elsewhere.

    ``mask`` is None where nothing of the image is transparent. Where something is, what was added by ``pad`` is
    repainted as well.
    """

    image: RawImage
    mask: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Placement:
    """The part ``source`` of the original comes to lie on ``target``, in whole pixels, of the size asked for."""

    source: Box
    target: tuple[int, int, int, int]
    size: Size


def nearest_size(profile: ModelProfile, width: int, height: int) -> Size:
    """The size at which an image of so many pixels is edited: its own where the profile draws that, else its aspect's.

    Aspects beyond 1:4 and 4:1 come to those.
    """
    size = Size(width, height)
    try:
        profile.check_size(size)
    except InvalidRequest:
        return profile.size_for(min(max(Fraction(width, height), 1 / _WIDEST), _WIDEST))
    return size


def fit_image(decoded: DecodedImage, size: Size, fit: Fit = "crop") -> Fitted:
    """The image at exactly this size; what is transparent is to be repainted."""
    raw = decoded.image
    placement = _place(raw.width, raw.height, size, fit)
    picture = _placed(Image.frombytes("RGB", (raw.width, raw.height), raw.data), placement)
    image = RawImage(size.width, size.height, _with_edges(picture, placement).tobytes())
    if decoded.alpha is None:
        return Fitted(image, None)
    mask = _mask(_inverted(decoded.alpha, raw), placement)
    return Fitted(image, mask if any(mask) else None)


def fit_mask(mask: DecodedImage, original: tuple[int, int], size: Size, fit: Fit) -> bytes:
    """A drawn mask, fitted like the original of so many pixels: 255 = repaint, ``size.height · size.width`` bytes.

    White is repainted, or what is transparent where anything is; and what ``pad`` adds. Raises :class:`Refusal`
    where the mask's aspect is not the original's, give or take 1 %.
    """
    raw = mask.image
    width, height = original
    if abs(Fraction(raw.width * height, raw.height * width) - 1) > _ASPECT_TOLERANCE:
        raise Refusal(
            f"The mask has {raw.width}×{raw.height} pixels, the image {width}×{height}: "
            "please paint the mask over a copy of the image, so that it has the same shape."
        )
    if mask.alpha is not None and min(mask.alpha) < _REPAINT:
        drawn = _inverted(mask.alpha, raw)
    else:
        drawn = Image.frombytes("RGB", (raw.width, raw.height), raw.data).convert("L")
    placement = _place(width, height, size, fit)
    left, top, right, bottom = placement.source
    across, down = raw.width / width, raw.height / height
    scaled = (left * across, top * down, right * across, bottom * down)
    return _mask(drawn, _Placement(scaled, placement.target, size))


def _place(width: int, height: int, size: Size, fit: Fit) -> _Placement:
    """All of the size is filled by ``crop``, all of the image is kept by ``pad``; both around the centre."""
    across, down = size.width / width, size.height / height
    if fit == "crop":
        scale = max(across, down)
        kept_width, kept_height = min(size.width / scale, width), min(size.height / scale, height)
        left, top = (width - kept_width) / 2, (height - kept_height) / 2
        return _Placement((left, top, width - left, height - top), (0, 0, size.width, size.height), size)
    scale = min(across, down)
    inner_width = max(1, min(size.width, round(width * scale)))
    inner_height = max(1, min(size.height, round(height * scale)))
    x, y = (size.width - inner_width) // 2, (size.height - inner_height) // 2
    return _Placement((0, 0, width, height), (x, y, x + inner_width, y + inner_height), size)


def _placed(picture: Image.Image, placement: _Placement) -> Image.Image:
    """The part of the picture that is kept, at the size at which it is shown."""
    left, top, right, bottom = placement.target
    return picture.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=placement.source)


def _mask(drawn: Image.Image, placement: _Placement) -> bytes:
    """The mask in black and white, and white where there is nothing of the picture."""
    whole = Image.new("L", (placement.size.width, placement.size.height), 255)
    whole.paste(_placed(drawn, placement), placement.target[:2])
    return whole.point([255 if value >= _REPAINT else 0 for value in range(256)]).tobytes()


def _inverted(alpha: bytes, raw: RawImage) -> Image.Image:
    return Image.frombytes("L", (raw.width, raw.height), alpha).point([255 - value for value in range(256)])


def _with_edges(picture: Image.Image, placement: _Placement) -> Image.Image:
    """The picture in the middle, its edges drawn out and blurred around it: colours that a model can go on from."""
    size, (left, top, right, bottom) = placement.size, placement.target
    if picture.size == (size.width, size.height):
        return picture
    margins = ((top, size.height - bottom), (left, size.width - right), (0, 0))
    drawn_out = Image.fromarray(np.pad(np.asarray(picture), margins, mode="edge"))
    whole = drawn_out.filter(ImageFilter.GaussianBlur(max(size.width, size.height) / 32))
    whole.paste(picture, (left, top))
    return whole
