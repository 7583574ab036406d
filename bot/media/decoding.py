"""The child process that decodes one untrusted image: its bytes on stdin, a header and raw pixels on stdout.

Started with :func:`command` and killed by :mod:`bot.media.untrusted_images`. It imports only the standard library,
Pillow, and modules of which the same is true, so that it starts in a tenth of a second.

It writes ``STARTED`` (``READY``, and the protections that hold) once it has started and given up its rights, then
``HEADER`` (verdict, width, height, and the number of bytes of each of ``TEXT_FIELDS``). For an image follow the texts,
RGB rows from the top, alpha rows unless the whole image is opaque, and ``DONE``.
"""

from __future__ import annotations

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

from PIL import ExifTags, Image, ImageCms, ImageMath, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from bot.media.confinement import confine
from bot.media.embedded_text import FIELD, PARAMETERS, embedded_text

READY = b"\x06"
STARTED = struct.Struct("!cB")
DONE = b"\x04"
HEADER = struct.Struct("!BIIII")
TEXT_FIELDS = (PARAMETERS, FIELD)

PLUGINS = {
    "PNG": "PngImagePlugin",
    "JPEG": "JpegImagePlugin",
    "WEBP": "WebPImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "TIFF": "TiffImagePlugin",
}
"""Pillow's name and module for each kind of image that is supported."""

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation."""

_JPEG_DIVISORS = (2, 4, 8)
_PROFILE_LIMIT = 4 * 2**20
_BAND_PIXELS = 2**20
_GREY = "grey"
"""The key under which a TIFF's largest number, and whether it means black, are kept."""

_WHEN_NEEDED = ("PIL.MpoImagePlugin", "copy", "encodings.utf_16_be")
"""What JPEGs of several pictures, GIFs and comments need."""

_START = "import sys; sys.path[:] = sys.argv[5:]; from bot.media.decoding import main; main()"

Convert = Callable[[Image.Image], Image.Image]


class Verdict(IntEnum):
    """The result of decoding."""

    IMAGE = 0
    UNREADABLE = 1
    TOO_LARGE = 2
    TOO_HEAVY = 3


def command(kind: str, limit_pixels: int, memory: int, seconds: int) -> list[str]:
    """Return the command line that starts the child: Python with nothing but this process's places to import from."""
    limits = map(str, (limit_pixels, memory, seconds))
    places = [place for place in (*sys.path, str(Path(__file__).parents[2])) if place]
    return [sys.executable, "-I", "-S", "-c", _START, kind, *limits, *places]


def main() -> None:
    """Decode the image on stdin within the limits given as arguments."""
    kind = sys.argv[1]
    limit_pixels, memory, seconds = map(int, sys.argv[2:5])
    # Everything is imported here, because nothing can be opened later. Pillow would import much when a file needs it.
    Image.preinit()
    for module in (f"PIL.{PLUGINS[kind]}", *_WHEN_NEEDED):
        import_module(module)
    if kind == "AVIF":
        from PIL import AvifImagePlugin  # noqa: PLC0415 - not needed for other kinds

        # Every thread takes memory from the limit, and the default is one a core.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("ignore")
    out = sys.stdout.buffer
    out.write(STARTED.pack(READY, confine(memory, seconds)))
    out.flush()
    try:
        image = _open(sys.stdin.buffer.read(), kind, limit_pixels)
        found = embedded_text(image, kind)
        text = [found.get(name, "").encode(errors="replace") for name in TEXT_FIELDS]
        bands = _bands(image)
        first = next(bands)
    except Image.DecompressionBombError:
        verdict = Verdict.TOO_LARGE
    except MemoryError:
        verdict = Verdict.TOO_HEAVY
    except Exception:  # noqa: BLE001 - hostile bytes can raise anything
        verdict = Verdict.UNREADABLE
    else:
        out.write(HEADER.pack(Verdict.IMAGE, *image.size, *map(len, text)))
        out.writelines(text)
        _write(out, chain([first], bands))
        return
    out.write(HEADER.pack(verdict, 0, 0, 0, 0))


def _open(data: bytes, kind: str, limit_pixels: int) -> Image.Image:
    """Return the first frame, upright.

    Raises :class:`Image.DecompressionBombError` before decoding if the image has too many pixels.
    """
    # Pillow raises at twice this number, while it reads the header.
    Image.MAX_IMAGE_PIXELS = limit_pixels // 2 * (_JPEG_DIVISORS[-1] ** 2 if kind == "JPEG" else 1)
    # This limit also applies to a PNG's colour profile, which may be larger than Pillow's default.
    PngImagePlugin.MAX_TEXT_CHUNK = _PROFILE_LIMIT
    image: Image.Image = Image.open(BytesIO(data), formats=[kind])
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.width * image.height > limit_pixels:
        _load_smaller(image, limit_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode.startswith("I;16"):
        # Pillow keeps the numbers of 12-bit grey as they are, and of negatives as well.
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
        negative = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
        image.info[_GREY] = 2**bits - 1, negative
    image.load()
    transparent = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(transparent, tuple) and max(transparent) > 255:
        # Pillow reduces 16-bit colours to their high bytes, but not the transparent colour.
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return _upright(image)


def _load_smaller(image: JpegImagePlugin.JpegImageFile, limit_pixels: int) -> None:
    """Decode the JPEG at a half, a quarter or an eighth of its size, so that it is never larger in memory.

    Raises :class:`Image.DecompressionBombError` if an eighth has too many pixels, or the image cannot be loaded.
    """
    for divisor in _JPEG_DIVISORS:
        if -(-image.width // divisor) * -(-image.height // divisor) <= limit_pixels:
            image.draft(None, (image.width // divisor, image.height // divisor))
            break
    else:
        raise Image.DecompressionBombError
    try:
        image.load()
    except OSError as error:
        # A progressive JPEG is held whole nevertheless; too large a one fails like a damaged one.
        raise Image.DecompressionBombError from error


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF orientation says."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF data is ignored
        return image
    transposition = _TRANSPOSITIONS.get(orientation or 1)
    return image if transposition is None else image.transpose(transposition)


def _bands(image: Image.Image) -> Iterator[tuple[Image.Image, Image.Image | None]]:
    """Yield the image in stripes, each as sRGB on white with its alpha, so that memory never holds a second copy."""
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
    """Return the colours in mode L, RGB or CMYK, and the alpha channel, None if the mode has none.

    Raises ValueError for modes without a fixed white.
    """
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
    """Return grey of up to 16 bits scaled to 8 bits, and its alpha. Pillow's own conversion would clip it at 255."""
    values = band.convert("I")
    white, negative = band.info.get(_GREY, (65535, False))
    scale, start = (-255 / white, 255.5) if negative else (255 / white, 0.5)
    grey = values.point(lambda value: value * scale + start).convert("L")
    transparent = band.info.get("transparency")
    if transparent is None:
        return grey, None
    alpha = ImageMath.lambda_eval(
        lambda names: names["convert"]((names["values"] != transparent) * 255, "L"), values=values
    )
    return grey, alpha


def _to_srgb(profile: object, mode: str) -> Convert:
    """Return a conversion from this mode to sRGB, by the image's colour profile if that is valid for the mode."""

    def plain(colours: Image.Image) -> Image.Image:
        return colours.convert("RGB")

    if profile is None:
        return plain
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))  # type: ignore[arg-type]  # anything at all, see below
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # noqa: BLE001 - broken profiles and those for other modes are ignored
        return plain
    return transform.apply


def _write(out: BinaryIO, bands: Iterable[tuple[Image.Image, Image.Image | None]]) -> None:
    """Write the colours of all stripes, then their alpha unless the whole image is opaque, and ``DONE``."""
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
