"""Every kind and mode of image is decoded upright, with its colours, transparency and texts."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from bot.errors import Refusal
from bot.media.embedded_text import TEXT_LIMIT, embedded_text, exif_of
from bot.media.metadata import encode_png
from bot.media.untrusted_images import DecodedImage, ImageReader
from tests.helpers.corpus import (
    HEIGHT,
    QUARTERS,
    SIZE,
    WIDTH,
    alpha,
    assert_is_the_picture,
    oriented,
    picture,
    pixels,
    png,
    quarters,
    saved,
    with_text,
)
from zimage_engine.types import RawImage


async def read(data: bytes) -> DecodedImage:
    return await ImageReader().read(data, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
async def test_every_orientation_comes_out_upright(kind: str) -> None:
    reader = ImageReader()
    files = [oriented(kind, orientation, quality=95) for orientation in range(1, 9)]
    for decoded in await asyncio.gather(*(reader.read(data, member) for member, data in enumerate(files))):
        assert_is_the_picture(decoded)


async def test_compressed_tiffs_are_turned_too() -> None:
    assert_is_the_picture(await read(oriented("TIFF", 6, compression="tiff_lzw")))


def grey_rows(depth: int, *values: int) -> bytes:
    """Return a PNG with one row of these values."""
    return b"\0" + b"".join(value.to_bytes(depth // 8) for value in values)


CONVERSIONS = {
    "cmyk jpeg": (saved(picture().convert("CMYK"), "JPEG", quality=95), QUARTERS),
    "cmyk tiff": (saved(picture().convert("CMYK"), "TIFF"), QUARTERS),
    "palette": (saved(picture().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"), QUARTERS),
    "grey": (saved(Image.new("L", SIZE, 77), "PNG"), [(77,) * 3] * 4),
    "grey and alpha": (saved(Image.new("LA", SIZE, (77, 255)), "PNG"), [(77,) * 3] * 4),
    "grey, half seen": (saved(Image.new("LA", SIZE, (0, 127)), "PNG"), [(128,) * 3] * 4),
    "one bit": (saved(Image.new("1", SIZE, 1), "PNG"), [(255,) * 3] * 4),
    "colour, half seen": (saved(Image.new("RGBA", SIZE, (200, 0, 0, 127)), "PNG"), [(228, 128, 128)] * 4),
    "16-bit grey": (saved(Image.new("I;16", SIZE, 77 * 257), "PNG"), [(77,) * 3] * 4),
    "16-bit grey tiff": (saved(Image.new("I;16B", SIZE, 77 * 257), "TIFF"), [(77,) * 3] * 4),
    "16-bit colour": (
        png(*SIZE, 16, 2, (b"\0" + bytes([200, 9, 100, 9, 50, 9]) * WIDTH) * HEIGHT),
        [(200, 100, 50)] * 4,
    ),
    "16-bit white": (png(*SIZE, 16, 0, (b"\0" + b"\xff\xff" * WIDTH) * HEIGHT), [(255,) * 3] * 4),
}


@pytest.mark.parametrize("name", CONVERSIONS)
async def test_every_mode_comes_out_in_its_colours(name: str) -> None:
    data, colours = CONVERSIONS[name]
    assert np.abs(quarters(await read(data)).astype(int) - colours).max() < 4


def tiff(
    order: str,
    bits: int,
    data: bytes,
    *,
    samples: int = 1,
    photometric: int = 1,
    sample_format: int = 1,
    deflated: bool = False,
) -> bytes:
    """Return a TIFF of four pixels in a row."""
    data = zlib.compress(data) if deflated else data
    depths = [bits] * samples
    entries = [
        (256, 3, [4]),
        (257, 3, [1]),
        (258, 3, depths),
        (259, 3, [8 if deflated else 1]),
        (262, 3, [photometric]),
    ]
    entries += [
        (273, 4, [8]),
        (277, 3, [samples]),
        (278, 3, [1]),
        (279, 4, [len(data)]),
        (339, 3, [sample_format] * samples),
    ]
    data += bytes(len(data) % 2)
    directory, long = struct.pack(f"{order}H", len(entries)), b""
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            long, packed = long + packed, struct.pack(f"{order}I", after + len(long))
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8 + len(data)) + data + directory + bytes(4) + long


def packed_bits(bits: int, *values: int) -> bytes:
    """Return the numbers one after the other, each of so many bits from the highest on."""
    whole = "".join(f"{value:0{bits}b}" for value in values)
    return int(whole.ljust(-len(whole) % 8 + len(whole), "0"), 2).to_bytes(-(-len(whole) // 8), "big")


def shades(bits: int) -> list[int]:
    return [0, 2**bits // 3, 2**bits * 2 // 3, 2**bits - 1]


SHADES = [0, 85, 170, 255]
DEPTHS = {
    **{
        f"{bits}-bit grey": (tiff("<", bits, packed_bits(bits, *shades(bits))), SHADES)
        for bits in (2, 4, 8, 10, 12, 14)
    },
    "12-bit grey, high bytes first": (tiff(">", 12, packed_bits(12, *shades(12))), SHADES),
    "12-bit grey, deflated": (tiff("<", 12, packed_bits(12, *shades(12)), deflated=True), SHADES),
    "16-bit grey, deflated": (tiff("<", 16, struct.pack("<4H", *shades(16)), deflated=True), SHADES),
    "12-bit negative": (tiff("<", 12, packed_bits(12, *shades(12)), photometric=0), SHADES[::-1]),
    "16-bit grey": (tiff("<", 16, struct.pack("<4H", *shades(16))), SHADES),
    "16-bit grey, high bytes first": (tiff(">", 16, struct.pack(">4H", *shades(16))), SHADES),
    "16-bit negative": (tiff("<", 16, struct.pack("<4H", *shades(16)), photometric=0), SHADES[::-1]),
    "16-bit negative, high bytes first": (tiff(">", 16, struct.pack(">4H", *shades(16)), photometric=0), SHADES[::-1]),
    "16-bit signed": (tiff("<", 16, struct.pack("<4h", -9, 0, 9, 99), sample_format=2), SHADES),
    "32-bit grey": (tiff("<", 32, struct.pack("<4I", *shades(32))), SHADES),
    "float": (tiff("<", 32, struct.pack("<4f", 0, 0.3, 0.6, 1), sample_format=3), SHADES),
    "16-bit colour": (
        tiff("<", 16, struct.pack("<12H", *(each for each in shades(16) for _ in range(3))), samples=3, photometric=2),
        SHADES,
    ),
    "12-bit colour": (
        tiff("<", 12, packed_bits(12, *(each for each in shades(12) for _ in range(3))), samples=3, photometric=2),
        SHADES,
    ),
}
OPENED = {"2-bit grey", "4-bit grey", "8-bit grey", "12-bit grey", "16-bit grey", "16-bit colour"}
OPENED |= {"12-bit grey, deflated", "16-bit grey, deflated", "16-bit grey, high bytes first", "16-bit negative"}


@pytest.mark.parametrize("name", DEPTHS)
async def test_every_depth_of_a_tiff_is_a_picture_or_one_sentence(name: str) -> None:
    data, expected = DEPTHS[name]
    try:
        decoded = await read(data)
    except Refusal as refusal:
        assert name not in OPENED
        assert "damaged or unusual" in str(refusal)
    else:
        assert name in OPENED
        assert np.abs(pixels(decoded)[0].astype(int) - np.array(expected)[:, None]).max() <= 1


TRANSPARENT = {
    "palette": png(2, 1, 8, 3, b"\0\0\1", PLTE=bytes([255, 0, 0, 0, 0, 255]), tRNS=b"\0\xff"),
    "grey": png(2, 1, 8, 0, grey_rows(8, 9, 99), tRNS=b"\0\x09"),
    "one bit": png(2, 1, 1, 0, b"\0\x80", tRNS=b"\0\1"),
    "colour": png(2, 1, 8, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6]), tRNS=bytes([0, 1, 0, 2, 0, 3])),
    "16-bit grey": png(2, 1, 16, 0, grey_rows(16, 5000, 5001), tRNS=(5000).to_bytes(2)),
    "16-bit colour": png(
        2, 1, 16, 2, b"\0" + bytes([1, 7, 2, 7, 3, 7, 9, 7, 9, 7, 9, 7]), tRNS=bytes([1, 7, 2, 7, 3, 7])
    ),
    "webp": saved(Image.fromarray(np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8)), "WEBP", lossless=True),
    "gif": saved(Image.fromarray(np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8)), "GIF"),
    "tiff": saved(Image.fromarray(np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8)), "TIFF"),
}


@pytest.mark.parametrize("name", TRANSPARENT)
async def test_what_is_transparent_becomes_white_and_is_told(name: str) -> None:
    decoded = await read(TRANSPARENT[name])
    assert alpha(decoded).tolist() == [[0, 255]]
    assert pixels(decoded)[0, 0].tolist() == [255, 255, 255]
    assert pixels(decoded)[0, 1].min() < 255


async def test_an_alpha_channel_that_hides_nothing_is_none() -> None:
    assert (await read(saved(picture().convert("RGBA"), "PNG"))).alpha is None


async def test_a_large_alpha_channel_keeps_its_rows() -> None:
    image = picture(1600, 1200).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    decoded = await read(saved(image, "PNG", compress_level=1))
    assert np.array_equal(alpha(decoded), np.asarray(image)[..., 3])


async def test_a_colour_profile_is_followed() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # A colour space with sRGB's red and blue swapped.
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert np.abs(pixels(await read(saved(red, "PNG", icc_profile=srgb))).astype(int) - (255, 0, 0)).max() < 3
    assert np.abs(pixels(await read(saved(red, "PNG", icc_profile=swapped))).astype(int) - (0, 0, 255)).max() < 3
    grey = Image.new("L", (4, 4), 99)
    assert pixels(await read(saved(grey, "PNG", icc_profile=srgb))).max() == 99, "one for other modes is ignored"


async def test_a_photo_of_too_many_pixels_is_read_smaller() -> None:
    photo = saved(picture(8000, 4000), "JPEG")
    decoded = await read(photo)
    assert (decoded.image.width, decoded.image.height) == (4000, 2000)
    assert np.abs(quarters(decoded).astype(int) - QUARTERS).max() < 12


async def test_parameters_are_kept_and_nothing_else() -> None:
    decoded = await read(with_text(parameters="a cat 一只猫", zimage='{"seed": 1}', workflow="x", Comment="y"))
    assert decoded.text == {"parameters": "a cat 一只猫", "zimage": '{"seed": 1}'}
    assert (await read(saved(picture(), "PNG"))).text == {}
    gif = saved(picture(), "GIF", comment=b"parameters")
    assert (await read(gif)).text == {}


async def test_parameters_that_are_too_long_are_left_out() -> None:
    assert (await read(with_text(parameters="x" * 65_536, zimage="ä" * 40_000))).text == {"parameters": "x" * 65_536}


def webp(exif: bytes) -> bytes:
    return saved(picture(), "WEBP", exif=exif)


async def test_the_parameters_of_a_webp_are_kept_too() -> None:
    text = {"parameters": "a cat 一只猫 🐈", "zimage": '{"seed": 1}'}
    assert (await read(webp(exif_of(text)))).text == text
    assert (await read(webp(exif_of({"parameters": "x" * 65_537, "zimage": "1" * 65_537})))).text == {}
    assert (await read(webp(exif_of({})))).text == {}


async def test_a_webp_that_is_turned_keeps_its_parameters() -> None:
    exif = Image.Exif()
    exif.load(exif_of({"zimage": "{}"}))
    exif[ExifTags.Base.Orientation] = 6
    assert (await read(webp(exif.tobytes()))).text == {"zimage": "{}"}


async def test_other_descriptions_and_comments_are_not_taken_for_parameters() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "a photo of zimage: a cat"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"JIS\0\0\0\0\0abc"
    assert (await read(webp(exif.tobytes()))).text == {}


@given(st.binary(max_size=300), st.integers(0, 120))
def test_damaged_metadata_is_none(noise: bytes, at: int) -> None:
    good = exif_of({"parameters": "a cat", "zimage": '{"seed": 1}'})
    for exif in (noise, good[:at], good[:at] + noise, good[:at] + noise[:4] + good[at + 4 :]):
        image = Image.new("RGB", (1, 1))
        image.info["exif"] = exif
        found = embedded_text(image, "WEBP")
        assert set(found) <= {"parameters", "zimage"}
        assert all(len(text.encode(errors="replace")) <= TEXT_LIMIT for text in found.values())


async def test_damaged_metadata_does_not_hide_the_picture() -> None:
    assert_is_the_picture(await read(webp(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(256)))))


async def test_our_own_pictures_come_back_as_they_were() -> None:
    ours = RawImage(6, 4, os.urandom(72))
    spec = {"prompt": "p", "negative_prompt": "", "steps": 8, "guidance_scale": 0.0, "seed": 1, "width": 6}
    decoded = await read(encode_png(ours, {**spec, "height": 4, "model": "m"}, "p\nSteps: 8"))
    assert decoded.image == ours
    assert set(decoded.text) == {"parameters", "zimage"}
