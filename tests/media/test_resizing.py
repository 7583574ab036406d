"""Images and masks are fitted to the exact size, neither stretched nor shifted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.media.resizing import Fit, fit_image, fit_mask, nearest_size
from bot.media.untrusted_images import DecodedImage
from zimage_engine.catalog import find_profile
from zimage_engine.profiles import Size
from zimage_engine.types import RawImage

DEMO = replace(find_profile("demo"), size_multiple=32)
SIDES = st.integers(1, 60)
FITS: tuple[Fit, ...] = ("crop", "pad")


def ramp(width: int, height: int, alpha: np.ndarray | None = None) -> DecodedImage:
    """Return an image whose red is the column and green the row, so that a pixel tells where it comes from."""
    pixels = np.full((height, width, 3), 77, np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return DecodedImage(RawImage(width, height, pixels.tobytes()), None if alpha is None else alpha.tobytes(), {})


def rows(image: RawImage) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)


def grid(mask: bytes | None, size: Size) -> np.ndarray:
    assert mask is not None
    return np.frombuffer(mask, np.uint8).reshape(size.height, size.width)


def white(width: int, height: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Return a black mask with a white box."""
    drawn = np.zeros((height, width), np.uint8)
    drawn[top:bottom, left:right] = 255
    return drawn


def drawing(drawn: np.ndarray) -> DecodedImage:
    height, width = drawn.shape
    return DecodedImage(RawImage(width, height, np.repeat(drawn[..., None], 3, axis=2).tobytes()), None, {})


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
@example(width=320, height=192)
@example(width=1, height=5000)
@example(width=5000, height=1)
def test_the_nearest_size_is_one_that_can_be_drawn(width: int, height: int) -> None:
    size = nearest_size(DEMO, width, height)
    DEMO.check_size(size)
    aspect = min(max(Fraction(width, height), Fraction(1, 4)), Fraction(4))
    assert size in (Size(width, height), DEMO.size_for(aspect))


def test_a_size_that_can_be_drawn_is_kept() -> None:
    unit = DEMO.size_multiple
    kept = Size(10 * unit, 6 * unit)
    assert nearest_size(DEMO, kept.width, kept.height) == kept
    assert nearest_size(DEMO, kept.width + 1, kept.height) != Size(kept.width + 1, kept.height)
    assert nearest_size(DEMO, 8 * DEMO.base_side, 8 * DEMO.base_side) == DEMO.base_size


def test_an_image_of_the_size_is_not_touched() -> None:
    decoded = ramp(96, 64)
    for fit in FITS:
        assert fit_image(decoded, Size(96, 64), fit).image == decoded.image


@given(width=SIDES, height=SIDES, wanted=st.tuples(SIDES, SIDES), fit=st.sampled_from(FITS))
@example(width=1, height=60, wanted=(60, 1), fit="crop")
@example(width=1, height=60, wanted=(60, 1), fit="pad")
def test_any_image_comes_to_any_size(width: int, height: int, wanted: tuple[int, int], fit: Fit) -> None:
    size = Size(*wanted)
    fitted = fit_image(ramp(width, height, white(width, height, 0, 0, width, height)), size, fit)
    assert (fitted.image.width, fitted.image.height) == wanted
    assert len(fitted.image.data) == 3 * size.pixels
    drawn = fit_mask(drawing(white(width, height, 0, 0, width, height)), (width, height), size, fit)
    assert drawn == b"\xff" * size.pixels


def test_cropping_keeps_the_centre_and_the_shape() -> None:
    seen = rows(fit_image(ramp(200, 100), Size(64, 64)).image)
    scale = 100 / 64
    across, down = seen[32, :, 0], seen[:, 32, 1]
    assert np.abs(across - (50 + (np.arange(64) + 0.5) * scale - 0.5)).max() < 1.5
    assert np.abs(down - ((np.arange(64) + 0.5) * scale - 0.5)).max() < 1.5


def test_padding_keeps_all_and_the_shape() -> None:
    seen = rows(fit_image(ramp(200, 100), Size(64, 64), "pad").image)
    scale = 200 / 64
    assert np.abs(seen[32, :, 0] - ((np.arange(64) + 0.5) * scale - 0.5)).max() < 3
    assert np.abs(seen[16:48, 32, 1] - ((np.arange(32) + 0.5) * scale - 0.5)).max() < 3


def test_padding_goes_on_with_the_colours_of_the_edges() -> None:
    seen = rows(fit_image(ramp(200, 100), Size(64, 64), "pad").image)
    assert seen[0, :, 1].max() < 20
    assert seen[-1, :, 1].min() > 80
    assert (seen[..., 2] == 77).all(), "no colour of its own comes in"


def test_what_is_transparent_is_repainted() -> None:
    seen = 255 - white(200, 100, 50, 0, 100, 100)
    mask = grid(fit_image(ramp(200, 100, seen), Size(64, 64)).mask, Size(64, 64))
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()


def test_without_transparency_there_is_no_mask() -> None:
    assert fit_image(ramp(64, 64), Size(32, 32)).mask is None
    hardly = np.full((64, 64), 200, np.uint8)
    assert fit_image(ramp(64, 64, hardly), Size(32, 32)).mask is None


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("scale", [1, 2, 5])
def test_a_drawn_mask_lies_where_the_image_lies(fit: Fit, scale: int) -> None:
    size = Size(96, 64)
    box = (60, 30, 150, 90)
    clear = fit_image(ramp(240, 240, 255 - white(240, 240, *box)), size, fit)
    smaller = white(240 // scale, 240 // scale, *(edge // scale for edge in box))
    drawn = grid(fit_mask(drawing(smaller), (240, 240), size, fit), size)
    differing = np.argwhere(drawn != grid(clear.mask, size))
    assert len(differing) <= (scale - 1) * 40
    assert 0 < (drawn == 255).sum() < size.pixels


def test_what_padding_adds_is_repainted() -> None:
    mask = grid(fit_mask(drawing(np.zeros((50, 100), np.uint8)), (200, 100), Size(64, 64), "pad"), Size(64, 64))
    assert (mask[:16] == 255).all()
    assert (mask[48:] == 255).all()
    assert (mask[16:48] == 0).all()


def test_a_mask_with_holes_is_read_by_them() -> None:
    holes = 255 - white(100, 50, 0, 0, 50, 50)
    mask = DecodedImage(RawImage(100, 50, b"\xff" * 15_000), holes.tobytes(), {})
    fitted = grid(fit_mask(mask, (100, 50), Size(100, 50), "crop"), Size(100, 50))
    assert np.array_equal(fitted, white(100, 50, 0, 0, 50, 50))


def test_a_mask_is_black_and_white() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    fitted = grid(fit_mask(drawing(grey), (256, 64), Size(256, 64), "crop"), Size(256, 64))
    assert np.array_equal(fitted[0], np.where(np.arange(256) >= 128, 255, 0))


@pytest.mark.parametrize(("width", "height"), [(100, 100), (204, 98), (98, 51)])
def test_a_mask_of_another_shape_is_refused(width: int, height: int) -> None:
    with pytest.raises(Refusal, match=rf"{width}×{height} pixels, the picture 200×100: please paint"):
        fit_mask(drawing(np.zeros((height, width), np.uint8)), (200, 100), Size(64, 64), "crop")


def test_a_mask_of_almost_the_shape_is_taken() -> None:
    assert len(fit_mask(drawing(np.zeros((50, 101), np.uint8)), (200, 100), Size(64, 64), "crop")) == 64 * 64
