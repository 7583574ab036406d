"""The child process that decodes one untrusted image: its bytes on stdin, a header and raw pixels on stdout.

``python -m bot.media.decoding KIND PIXELS MEMORY SECONDS``, started and killed by :mod:`bot.media.untrusted_images`.
It imports the standard library and Pillow alone, so it starts in a tenth of a second.

On stdout: ``READY`` once it has started; ``HEADER`` (the verdict, width, height, and how many bytes each of
``TEXT_FIELDS`` has); and for an image the texts, RGB rows from the top, as many alpha rows where not all of it is
opaque, and ``DONE``.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from importlib import import_module
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

READY = b"\x06"
DONE = b"\x04"
HEADER = struct.Struct("!BIIII")
TEXT_FIELDS = ("parameters", "zimage")
TEXT_LIMIT = 64 * 1024
"""Bytes of UTF-8 that one text may have; a longer one is left out: half of it would be worth nothing."""

PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
}
"""Pillow's name and module of every kind that is read."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

_JPEG_DIVISORS = (2, 4, 8)
_PROFILE_LIMIT = 4 * 2**20
_BAND_PIXELS = 2**20

Convert = Callable[[Image.Image], Image.Image]


class Verdict(IntEnum):
    """What became of the bytes."""

    IMAGE = 0
    UNREADABLE = 1
    TOO_LARGE = 2
    TOO_HEAVY = 3


def main() -> None:
    """Decode what comes on stdin within the limits that the arguments name."""
    kind = sys.argv[1]
    limit_pixels, memory, seconds = map(int, sys.argv[2:])
    import_module(f"PIL.{PLUGINS[kind]}")
    if kind == "AVIF":
        from PIL import AvifImagePlugin  # noqa: PLC0415 - others need not load it

        # As many threads as there are cores would each take memory from what is allowed.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("ignore")
    _limit_resources(memory, seconds)
    out = sys.stdout.buffer
    out.write(READY)
    out.flush()
    try:
        image = _open(sys.stdin.buffer.read(), kind, limit_pixels)
        text = _text(image) if kind == "PNG" else [b""] * len(TEXT_FIELDS)
        bands = _bands(image)
        first = next(bands)
    except Image.DecompressionBombError:
        verdict = Verdict.TOO_LARGE
    except MemoryError:
        verdict = Verdict.TOO_HEAVY
    except Exception:  # noqa: BLE001 - whatever a decoder makes of hostile bytes, the answer is the same
        verdict = Verdict.UNREADABLE
    else:
        out.write(HEADER.pack(Verdict.IMAGE, *image.size, *map(len, text)))
        out.writelines(text)
        _write(out, chain([first], bands))
        return
    out.write(HEADER.pack(verdict, 0, 0, 0, 0))


def _limit_resources(memory: int, seconds: int) -> None:
    """No more memory (beyond what a bare start takes) and time than this, no file written, no core dumped.

    Where the platform can hold a process to that: Linux can.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Windows has none

    started_with = 0
    with contextlib.suppress(OSError):
        # Address space, not memory: locale archives alone are 200 MB of it on some systems.
        started_with = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, started_with + memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # macOS knows RLIMIT_AS but refuses every value; the parent's clock and the pixel limit still hold there.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _open(data: bytes, kind: str, limit_pixels: int) -> Image.Image:
    """The first frame, upright. Pixels are counted before anything is decoded."""
    # Pillow refuses at twice this number, while it reads the header.
    Image.MAX_IMAGE_PIXELS = limit_pixels // 2 * (_JPEG_DIVISORS[-1] ** 2 if kind == "JPEG" else 1)
    # Colour profiles in a PNG fall under this limit, too, and may be larger than Pillow allows.
    PngImagePlugin.MAX_TEXT_CHUNK = _PROFILE_LIMIT
    image: Image.Image = Image.open(BytesIO(data), formats=[kind])
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.width * image.height > limit_pixels:
        _load_smaller(image, limit_pixels)
    image.load()
    transparent = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
        # Of 16-bit colours Pillow keeps the high bytes, but not of the one that stands for transparent.
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return _upright(image)


def _load_smaller(image: JpegImagePlugin.JpegImageFile, limit_pixels: int) -> None:
    """Decode the JPEG at a half, a quarter or an eighth: it is never larger in memory than that."""
    for divisor in _JPEG_DIVISORS:
        if -(-image.width // divisor) * -(-image.height // divisor) <= limit_pixels:
            image.draft(None, (image.width // divisor, image.height // divisor))
            break
    else:
        raise Image.DecompressionBombError
    try:
        image.load()
    except OSError as error:
        # A progressive JPEG is held whole all the same; what does not fit then fails like a damaged one.
        raise Image.DecompressionBombError from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF data is no reason to refuse the picture
        return image
    turn = _TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def _text(image: Image.Image) -> list[bytes]:
    """The texts of a PNG that other programs and this one write parameters into; empty where there is none."""
    found = [image.info.get(name) for name in TEXT_FIELDS]
    texts = [value.encode(errors="replace") if isinstance(value, str) else b"" for value in found]
    return [text if len(text) <= TEXT_LIMIT else b"" for text in texts]


def _bands(image: Image.Image) -> Iterator[tuple[Image.Image, Image.Image | None]]:
    """The picture in stripes, so that no second copy of it is ever whole: each as sRGB on white, and its alpha."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    to_rgb = _to_srgb(image.info.get("icc_profile"), _split(image.crop((0, 0, 1, 1)))[0].mode)
    for top in range(0, height, rows):
        colours, alpha = _split(image.crop((0, top, width, min(top + rows, height))))
        rgb = to_rgb(colours)
        if alpha is not None:
            rgb = Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
        yield rgb, alpha


def _split(band: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours as L, RGB or CMYK, of 8 bits, without their alpha; and the alpha, where there can be any."""
    if band.mode.startswith("I;16"):
        return _split_16_bit(band)
    if band.mode in ("I", "F"):
        raise ValueError(f"nothing says which number is white in mode {band.mode}")
    if band.has_transparency_data:
        whole = band.convert("LA" if band.mode in ("1", "L", "LA", "La") else "RGBA")
        return whole.convert(whole.mode[:-1]), whole.getchannel("A")
    if band.mode in ("L", "RGB", "CMYK"):
        return band, None
    return band.convert("L" if band.mode == "1" else "RGB"), None


def _split_16_bit(band: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 bits, scaled to 8; Pillow's own conversion would cut it off at 255."""
    values = band.convert("I")
    grey = values.point(lambda value: value / 257 + 0.5).convert("L")
    transparent = band.info.get("transparency")
    if transparent is None:
        return grey, None
    from PIL import ImageMath  # noqa: PLC0415 - for a very rare kind of PNG

    alpha = ImageMath.lambda_eval(
        lambda names: names["convert"]((names["values"] != transparent) * 255, "L"), values=values
    )
    return grey, alpha


def _to_srgb(profile: object, mode: str) -> Convert:
    """How colours of this mode become sRGB: by the picture's own profile where that is valid and fits."""

    def plain(colours: Image.Image) -> Image.Image:
        return colours.convert("RGB")

    if profile is None:
        return plain
    try:
        from PIL import ImageCms  # noqa: PLC0415 - most pictures need none

        source = ImageCms.ImageCmsProfile(BytesIO(profile))  # type: ignore[arg-type]  # anything at all, see below
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # noqa: BLE001 - broken profiles, and those for other modes, are ignored
        return plain
    return transform.apply


def _write(out: BinaryIO, bands: Iterable[tuple[Image.Image, Image.Image | None]]) -> None:
    alphas = []
    opaque = True
    for rgb, alpha in bands:
        out.write(rgb.tobytes())
        if alpha is not None:
            alphas.append(alpha.tobytes())
            opaque = opaque and alpha.getextrema()[0] == 255
    if not opaque:
        out.writelines(alphas)
    out.write(DONE)


if __name__ == "__main__":
    main()
