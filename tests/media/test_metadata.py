"""The parameters in a PNG and in a WebP, and pictures made to fit."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from bot.media.metadata import read_fields, shrink
from bot.requests.parameters import a1111_parameters, encode_picture
from bot.requests.spec import ImageSpec
from zimage_engine.types import RawImage

BLUE = RawImage(8, 4, bytes([0, 0, 255]) * 32)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)


def spec(prompt: str = "a cat", negative: str = "") -> ImageSpec:
    return ImageSpec(prompt, 8, 4, seed=7, steps=8, guidance_scale=0.0, negative_prompt=negative, model="Z-Image demo")


@given(prompt=TEXT, negative=TEXT)
def test_the_spec_comes_back_from_the_png(prompt: str, negative: str) -> None:
    wanted = spec(prompt, negative)
    assert ImageSpec(**read_fields(encode_picture(BLUE, wanted))) == wanted  # type: ignore[arg-type]


@given(prompt=TEXT, negative=TEXT)
def test_the_spec_comes_back_from_the_webp_that_replaces_a_large_png(prompt: str, negative: str) -> None:
    wanted = spec(prompt, negative)
    webp, suffix = shrink(encode_picture(BLUE, wanted) + bytes(10_000), 9_000)
    assert suffix == "webp"
    assert ImageSpec(**read_fields(webp)) == wanted  # type: ignore[arg-type]


def test_other_tools_can_read_the_webp() -> None:
    """They look for the parameters in the UserComment, in big-endian UTF-16 after its code."""
    webp, _ = shrink(encode_picture(BLUE, spec("一只猫")) + bytes(10_000), 9_000)
    exif = Image.open(BytesIO(webp)).getexif()
    comment = exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    assert comment.startswith(b"UNICODE\0")
    assert comment[8:].decode("utf-16-be") == a1111_parameters(spec("一只猫"))


def test_a_png_without_parameters_becomes_a_webp_without_any() -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 4)).save(buffer, "PNG")
    webp, _ = shrink(buffer.getvalue() + bytes(10_000), 9_000)
    assert read_fields(webp) is None


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert encode_picture(BLUE, spec()) == encode_picture(BLUE, spec())


def test_the_pixels_are_kept() -> None:
    picture = Image.open(BytesIO(encode_picture(BLUE, spec())))
    assert picture.size == (8, 4)
    assert picture.tobytes() == BLUE.data


def test_other_tools_can_read_it() -> None:
    assert a1111_parameters(spec("a cat", "blur")) == (
        "a cat\nNegative prompt: blur\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 7, Size: 8x4, Model: Z-Image demo"
    )
    assert Image.open(BytesIO(encode_picture(BLUE, spec("一只猫")))).info["parameters"].startswith("一只猫\n")


def test_a_picture_that_is_too_large_becomes_webp() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    png = encode_picture(RawImage(128, 128, noise.tobytes()), spec())
    assert shrink(png, len(png)) == (png, "png")
    small, suffix = shrink(png, 20_000)
    assert suffix == "webp"
    assert len(small) <= 20_000
    assert Image.open(BytesIO(small)).size == (128, 128)
    assert shrink(png, 20_000) == (small, "webp"), "the same bytes each time"
    with pytest.raises(ValueError, match="does not fit"):
        shrink(png, 100)
