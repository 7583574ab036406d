"""Fits input images and masks to the size of an edit without stretching them. All functions block."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from bot.errors import Refusal
from bot.media.untrusted_images import DecodedImage
from zimage_engine.profiles import ASPECT_MAX, ModelProfile, Size
from zimage_engine.types import MASK_THRESHOLD, InvalidRequest, RawImage

Fit = Literal["crop", "pad"]
"""``crop`` fills the size and cuts off what is beyond it; ``pad`` keeps the whole image and adds borders."""

_ASPECT_TOLERANCE = Fraction(1, 100)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """An image of the requested size and its mask: ``height · width`` bytes, 255 = repaint, 0 = keep.

    ``mask`` is None if no pixel of the image is transparent. Otherwise it covers the transparent pixels and the
    borders that ``pad`` added.
    """

    image: RawImage
    mask: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Placement:
    """How an image is fitted: its ``region`` is scaled to ``target``, in whole pixels of the requested size."""

    region: Box
    target: tuple[int, int, int, int]
    size: Size


def nearest_size(profile: ModelProfile, width: int, height: int) -> Size:
    """Return the size at which an image of this width and height is edited.

    That is its own size if the profile supports it, else the profile's size for its aspect, limited to 1:4 and 4:1.
    """
    size = Size(width, height)
    try:
        profile.check_size(size)
    except InvalidRequest:
        return profile.size_for(min(max(Fraction(width, height), Fraction(1, ASPECT_MAX)), Fraction(ASPECT_MAX)))
    return size


def fit_image(decoded: DecodedImage, size: Size, fit: Fit = "crop") -> Fitted:
    """Return the image at exactly this size, with a mask of its transparent pixels."""
    raw = decoded.image
    placement = _place(raw.width, raw.height, size, fit)
    picture = _placed(raw.to_pil(), placement)
    image = RawImage(size.width, size.height, _with_edges(picture, placement).tobytes())
    if decoded.alpha is None:
        return Fitted(image, None)
    mask = _mask(_inverted(decoded.alpha, raw), placement)
    return Fitted(image, mask if any(mask) else None)


def fit_mask(mask: DecodedImage, original: tuple[int, int], size: Size, fit: Fit) -> bytes:
    """Return a mask of ``size.height · size.width`` bytes (255 = repaint), fitted like the original image.

    ``original`` is the width and height of that image. White pixels of the mask are repainted, or its transparent
    pixels if it has any, and the borders that ``pad`` adds. Raises :class:`Refusal` if the mask's aspect differs from
    the original's by more than 1 %.
    """
    raw = mask.image
    width, height = original
    if abs(Fraction(raw.width * height, raw.height * width) - 1) > _ASPECT_TOLERANCE:
        raise Refusal(
            f"The mask has {raw.width}×{raw.height} pixels, the picture {width}×{height}: "
            "please paint the mask over a copy of the picture, so that it has the same shape."
        )
    if mask.alpha is not None and min(mask.alpha) < MASK_THRESHOLD:
        painted = _inverted(mask.alpha, raw)
    else:
        painted = raw.to_pil().convert("L")
    placement = _place(width, height, size, fit)
    left, top, right, bottom = placement.region
    across, down = raw.width / width, raw.height / height
    scaled = (left * across, top * down, right * across, bottom * down)
    return _mask(painted, _Placement(scaled, placement.target, size))


def _place(width: int, height: int, size: Size, fit: Fit) -> _Placement:
    """Return the placement of an image of this width and height, centred."""
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
    """Return the placement's region of the picture, scaled to its target's size."""
    left, top, right, bottom = placement.target
    return picture.resize((right - left, bottom - top), Image.Resampling.LANCZOS, box=placement.region)


def _mask(painted: Image.Image, placement: _Placement) -> bytes:
    """Return the mask with values 0 and 255, and 255 outside the placement's target."""
    whole = Image.new("L", (placement.size.width, placement.size.height), 255)
    whole.paste(_placed(painted, placement), placement.target[:2])
    return whole.point([255 if value >= MASK_THRESHOLD else 0 for value in range(256)]).tobytes()


def _inverted(alpha: bytes, raw: RawImage) -> Image.Image:
    return Image.frombytes("L", (raw.width, raw.height), alpha).point([255 - value for value in range(256)])


def _with_edges(picture: Image.Image, placement: _Placement) -> Image.Image:
    """Return the picture with blurred borders in the colours of its edges, which a model can continue."""
    size, (left, top, right, bottom) = placement.size, placement.target
    if picture.size == (size.width, size.height):
        return picture
    margins = ((top, size.height - bottom), (left, size.width - right), (0, 0))
    extended = Image.fromarray(np.pad(np.asarray(picture), margins, mode="edge"))
    whole = extended.filter(ImageFilter.GaussianBlur(max(size.width, size.height) / 32))
    whole.paste(picture, (left, top))
    return whole
