"""Read a scene back from a picture's pixels, to evaluate the demo model. Nothing in it is learned.

Background: the median of the border. Shape: the pixels nearer to the figure's colour than to the
background's, compared with every outline at several tilts by intersection over union.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.scenes import (
    COLOURS,
    OFFSET,
    PALETTE,
    RADIUS,
    SHAPES,
    Colour,
    Place,
    Scene,
    Shape,
    Size,
    outline,
)

_GRID = 64
_TILTS = np.linspace(-0.15, 0.15, 7)
_CONTRAST_MIN = 60.0
_FIT_MIN = 0.7
Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture shows. ``shape`` is None if no outline fits; ``fit`` is the best intersection over union.

    ``centre`` is the middle of the figure's bounding box as fractions of width and height.
    """

    shape: Shape | None
    colour: Colour | None
    background: Colour
    size: Size | None
    place: Place | None
    centre: tuple[float, float]
    fit: float

    def agrees(self, scene: Scene) -> bool:
        return (self.shape, self.colour, self.background, self.size, self.place) == (
            scene.shape,
            scene.colour,
            scene.background,
            scene.size,
            scene.place,
        )


def nearest_colour(rgb: NDArray[np.floating]) -> Colour:
    """Return the palette's colour nearest to an RGB triple of 0 … 255."""
    return min(COLOURS, key=lambda name: float(np.linalg.norm(np.asarray(PALETTE[name]) - rgb)))


def read(picture: Image.Image) -> Reading:
    """Return what the picture shows; a blank picture has a background and nothing else."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    background = _border_colour(pixels)
    mask = _figure(pixels, background)
    if mask is None:
        return Reading(None, None, nearest_colour(background), None, None, (0.5, 0.5), 0.0)
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    centre = (float(left + right) / 2 / width, float(top + bottom) / 2 / height)
    radius = max(right - left, bottom - top) / 2 / math.sqrt(width * height)
    size = min(RADIUS, key=lambda name: abs(RADIUS[name] - radius))
    shape, fit = _nearest_shape(mask[top:bottom, left:right])
    return Reading(
        shape=shape if fit >= _FIT_MIN else None,
        colour=nearest_colour(np.median(pixels[mask], axis=0)),
        background=nearest_colour(background),
        size=size,
        place=_place(centre, OFFSET[size] / 2),
        centre=centre,
        fit=fit,
    )


def _border_colour(pixels: Pixels) -> Pixels:
    edge = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, :2].reshape(-1, 3)])
    edge = np.concatenate([edge, pixels[:, -2:].reshape(-1, 3)])
    return np.asarray(np.median(edge, axis=0), dtype=np.float32)


def _figure(pixels: Pixels, background: Pixels) -> Mask | None:
    """Return the mask of the figure, None if the picture is blank. Rows and columns with under 2 % are dropped."""
    distance = np.linalg.norm(pixels - background, axis=2)
    far = distance > max(_CONTRAST_MIN, float(distance.max()) * 0.6)
    if float(distance.max()) < _CONTRAST_MIN or far.sum() < 16:
        return None
    colour = np.median(pixels[far], axis=0)
    mask: Mask = np.linalg.norm(pixels - colour, axis=2) < distance
    for axis in (0, 1):
        counts = mask.sum(axis=axis)
        thin = counts <= 0.02 * counts.max()
        mask = mask & ~(thin[None, :] if axis == 0 else thin[:, None])
    return mask if mask.any() else None


def _place(centre: tuple[float, float], threshold: float) -> Place | None:
    across, down = centre[0] - 0.5, centre[1] - 0.5
    if abs(across) > threshold and abs(down) > threshold:
        return None
    if abs(across) > threshold:
        return "left" if across < 0 else "right"
    if abs(down) > threshold:
        return "top" if down < 0 else "bottom"
    return "centre"


@cache
def _templates() -> list[tuple[Shape, float, Mask]]:
    """Return each shape at each tilt with its box's width ÷ height and its mask, scaled to a square grid."""
    made: list[tuple[Shape, float, Mask]] = []
    for shape in SHAPES:
        for tilt in _TILTS:
            points = outline(shape, float(tilt))
            low, high = points.min(axis=0), points.max(axis=0)
            canvas = Image.new("L", (_GRID * 4, _GRID * 4))
            scaled = (points - low) / (high - low) * _GRID * 4
            ImageDraw.Draw(canvas).polygon([(x, y) for x, y in scaled.tolist()], fill=255)
            wide, tall = high - low
            made.append((shape, float(wide / tall), np.asarray(canvas.reduce(4)) > 127))
    return made


def _nearest_shape(box: Mask) -> tuple[Shape, float]:
    """Return the shape with the largest overlap and the overlap, reduced for a box of other proportions."""
    seen = np.asarray(Image.fromarray(box).convert("L").resize((_GRID, _GRID), Image.Resampling.BOX)) > 127
    proportion = box.shape[1] / box.shape[0]
    best: tuple[Shape, float] = (SHAPES[0], 0.0)
    for shape, expected, template in _templates():
        overlap = float((seen & template).sum() / (seen | template).sum())
        overlap *= min(proportion / expected, expected / proportion)
        if overlap > best[1]:
            best = (shape, overlap)
    return best
