"""The pictures of the demo model: one coloured shape on a plain background.

A :class:`Scene` describes a picture, :func:`draw` paints it. Lengths are fractions: a shape's
radius of the square root of the picture's area, its offset of the side it moves along.
"""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Shape = Literal["circle", "square", "triangle", "star", "heart"]
Colour = Literal["red", "green", "blue", "yellow", "purple", "orange", "white", "black"]
Size = Literal["small", "medium", "large"]
Place = Literal["centre", "left", "right", "top", "bottom"]
RGB = tuple[int, int, int]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SIZES: tuple[Size, ...] = get_args(Size)
PLACES: tuple[Place, ...] = get_args(Place)

PALETTE: dict[Colour, RGB] = {
    "red": (220, 38, 44),
    "green": (38, 160, 72),
    "blue": (36, 84, 214),
    "yellow": (248, 218, 52),
    "purple": (138, 58, 178),
    "orange": (244, 138, 28),
    "white": (244, 244, 244),
    "black": (20, 20, 22),
}
RADIUS: dict[Size, float] = {"small": 0.16, "medium": 0.22, "large": 0.29}
OFFSET: dict[Size, float] = {"small": 0.24, "medium": 0.18, "large": 0.08}
DIRECTION: dict[Place, tuple[int, int]] = {
    "centre": (0, 0),
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
}
_RADIUS_MAX = 0.375
_SUPERSAMPLING = 4
_HELD_OUT_ONE_IN = 16


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture shows. A caption leaves out the size ``medium`` and the place ``centre``."""

    shape: Shape
    colour: Colour
    background: Colour
    size: Size = "medium"
    place: Place = "centre"

    @property
    def held_out(self) -> bool:
        """True if training never sees the scene: one in sixteen, the same on every machine."""
        name = " ".join(str(getattr(self, field.name)) for field in fields(self))
        return zlib.crc32(name.encode()) % _HELD_OUT_ONE_IN == 0


@dataclass(frozen=True, slots=True)
class Brush:
    """How a scene is painted: exact colours, radius and centre in pixels, tilt in radians."""

    colour: RGB
    background: RGB
    radius: float
    centre: tuple[float, float]
    tilt: float


def every_scene() -> list[Scene]:
    """Return all 4,200 scenes in which shape and background differ in colour."""
    combinations = itertools.product(SHAPES, COLOURS, COLOURS, SIZES, PLACES)
    return [Scene(*parts) for parts in combinations if parts[1] != parts[2]]


def held_out_scenes(count: int) -> list[Scene]:
    """Return ``count`` of the 247 held-out scenes, evenly spread over all of them."""
    scenes = [scene for scene in every_scene() if scene.held_out]
    return [scenes[i * len(scenes) // count] for i in range(min(count, len(scenes)))]


def outline(shape: Shape, tilt: float = 0.0) -> NDArray[np.float64]:
    """Return the shape's corners ``(n, 2)``, y down. The bounding box is centred on 0, its longer side is 2."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    match shape:
        case "circle":
            points = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        case "square":
            points = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], dtype=np.float64)
        case "triangle":
            points = np.array([(0, -np.sqrt(3)), (1, 0), (-1, 0)])
        case "star":
            angle = np.arange(10) * np.pi / 5 - np.pi / 2
            reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
            points = np.stack([np.cos(angle) * reach, np.sin(angle) * reach], axis=1)
        case "heart":
            x = 16 * np.sin(turn) ** 3
            y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
            points = np.stack([x, -y], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) * (2 / (high - low).max())
    cos, sin = np.cos(tilt), np.sin(tilt)
    turned: NDArray[np.float64] = points @ np.array([(cos, sin), (-sin, cos)])
    return turned


def pick_brush(scene: Scene, width: int, height: int, rng: np.random.Generator) -> Brush:
    """Return a brush for the scene with random colour (±8), radius (±4 %), place (±1.5 %) and tilt (±5°)."""

    def shade(colour: Colour) -> RGB:
        red, green, blue = np.clip(np.array(PALETTE[colour]) + rng.integers(-8, 9, size=3), 0, 255)
        return int(red), int(green), int(blue)

    across, down = DIRECTION[scene.place]
    offset = OFFSET[scene.size]
    drift = rng.uniform(-0.015, 0.015, size=2)
    radius = min(RADIUS[scene.size] * math.sqrt(width * height), _RADIUS_MAX * min(width, height))
    return Brush(
        colour=shade(scene.colour),
        background=shade(scene.background),
        radius=radius * rng.uniform(0.96, 1.04),
        centre=((0.5 + across * offset + drift[0]) * width, (0.5 + down * offset + drift[1]) * height),
        tilt=rng.uniform(-0.08, 0.08),
    )


def paint(shape: Shape, brush: Brush, width: int, height: int) -> Image.Image:
    """Return an RGB picture with smooth edges: the shape's mask is drawn four times larger and averaged."""
    reach = int(brush.radius * 1.5) + 2
    left, top = int(brush.centre[0]) - reach, int(brush.centre[1]) - reach
    side = 2 * reach
    corners = outline(shape, brush.tilt) * brush.radius + np.array(brush.centre) - (left, top)
    mask = Image.new("L", (side * _SUPERSAMPLING, side * _SUPERSAMPLING))
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in (corners * _SUPERSAMPLING).tolist()], fill=255)
    picture = Image.new("RGB", (width, height), brush.background)
    picture.paste(brush.colour, (left, top), mask.reduce(_SUPERSAMPLING))
    return picture


def draw(scene: Scene, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Return an RGB picture of the scene."""
    return paint(scene.shape, pick_brush(scene, width, height, rng), width, height)
