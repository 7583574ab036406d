"""Images made in code that are hard to open: broken, enormous, mislabelled, or unusual but valid."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo

from bot.media.untrusted_images import DecodedImage

WIDTH, HEIGHT = 48, 32
QUARTERS = ((255, 0, 0), (0, 160, 0), (0, 0, 255), (240, 240, 240))
"""The colours of :func:`picture`: top left, top right, bottom left, bottom right."""


@dataclass(frozen=True)
class Case:
    """Bytes of a file, and the size of the image that is read, or words of the refusal."""

    name: str
    make: Callable[[], bytes]
    size: tuple[int, int] | None = None
    says: str = ""


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    pixels = np.empty((height, width, 3), np.uint8)
    middle, centre = height // 2, width // 2
    pixels[:middle, :centre], pixels[:middle, centre:] = QUARTERS[:2]
    pixels[middle:, :centre], pixels[middle:, centre:] = QUARTERS[2:]
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG from raw rows, each with its filter byte; the named chunks come before the pixels, and may lie."""
    parts = [chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    parts += [chunk(name.encode(), data) for name, data in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))


def zeros(megabytes: int) -> bytes:
    """Return so many MB of zeros, deflated: about a thousandth of the size."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(megabytes)), packer.flush()])


def oriented(kind: str, orientation: int, **options: object) -> bytes:
    """:func:`picture` stored so that this EXIF orientation shows it upright; by the table in the EXIF standard."""
    upright = np.asarray(picture())
    turned = upright.swapaxes(0, 1)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: turned,
        6: turned[::-1],
        7: turned[::-1, ::-1],
        8: turned[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = orientation
        return saved(Image.fromarray(np.ascontiguousarray(stored)), kind, tiffinfo=tags, **options)
    return saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)


def animated(kind: str, frames: int = 3) -> bytes:
    """:func:`picture` first, then black ones."""
    others = [Image.new("RGB", (WIDTH, HEIGHT), (number % 50, 0, 0)) for number in range(1, frames)]
    return saved(picture(), kind, save_all=True, append_images=others, duration=50, lossless=True)


def endless_jpeg(scans: int = 200_000) -> bytes:
    """Return a small JPEG of one blank picture with so many scans of all of it: hours of work."""
    whole = saved(Image.new("L", (4000, 4000), 128), "JPEG", progressive=True)
    start = whole.index(b"\xff\xda")
    last = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:last] + whole[last:-2] * scans + b"\xff\xd9"


def tiff_of_large_tags() -> bytes:
    """Return a TIFF with a thousand tags that point to the same megabyte: a gigabyte for a reader of all tags."""
    megabyte, tags = 2**20, 1000
    start = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack("<HHII", 40_000 + tag, 7, megabyte, start) for tag in range(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4) + bytes(megabyte)


def tiff_without_end() -> bytes:
    """Return a TIFF whose first page is also the next page."""
    whole = bytearray(saved(picture(), "TIFF"))
    (first,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, first)
    struct.pack_into("<I", whole, first + 2 + 12 * count, first)
    return bytes(whole)


def with_header_size(whole: bytes, at: int, code: str, width: int, height: int) -> bytes:
    changed = bytearray(whole)
    struct.pack_into(code, changed, at, width, height)
    return bytes(changed)


def large_gif() -> bytes:
    return with_header_size(saved(Image.new("P", (2, 2)), "GIF"), 6, "<HH", 60_000, 60_000)


def large_gif_frame() -> bytes:
    """Return a GIF of 2×2 whose first frame claims to be 60,000×60,000."""
    whole = saved(Image.new("P", (2, 2)), "GIF")
    return with_header_size(whole, whole.index(b",\0\0\0\0") + 5, "<HH", 60_000, 60_000)


def polyglot_zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("run.js", "alert(1)")
    return buffer.getvalue()


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def with_text(**texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    return saved(picture(), "PNG", pnginfo=info)


def _jpeg() -> bytes:
    return saved(picture(), "JPEG", quality=95)


def _png() -> bytes:
    return saved(picture(), "PNG")


def _turned_png() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.new("RGBA", (6000, 4000), (9, 9, 9, 9)), "PNG", exif=exif, compress_level=1)


def _sparse_png(width: int, height: int) -> bytes:
    return png(width, height, 1, 0, bytes(height * (1 + (width + 7) // 8)))


SIZE = (WIDTH, HEIGHT)
_ODD, _LARGE, _KINDS = "damaged or unusual", "million pixels", "PNG, JPEG, WebP"
_IFTYP = struct.pack("!I4s4sI", 24, b"ftyp", b"heic", 0)

CASES = (
    Case("no bytes", lambda: b"", says="empty"),
    Case("one byte", lambda: b"\x89", says=_KINDS),
    Case("garbage", lambda: noise(5000), says=_KINDS),
    Case("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', says=_KINDS),
    Case("zip", polyglot_zip, says=_KINDS),
    Case("heic", lambda: _IFTYP + b"mif1heic" + noise(500), says="HEIC"),
    Case("heif of any brand", lambda: struct.pack("!I4s4sI", 16, b"ftyp", b"msf1", 0), says="HEIC"),
    Case("mp4", lambda: struct.pack("!I4s4sI", 24, b"ftyp", b"isom", 0) + b"isommp42", says=_KINDS),
    Case("text that begins like a bmp", lambda: b"BMW makes cars, and this is no image at all.", says=_KINDS),
    Case("png signature and garbage", lambda: b"\x89PNG\r\n\x1a\n" + noise(500), says=_ODD),
    Case("jpeg signature and garbage", lambda: b"\xff\xd8\xff" + noise(500), says=_ODD),
    Case("gif signature and garbage", lambda: b"GIF89a" + bytes([9, 0, 9, 0]) + noise(500), says=_ODD),
    Case("webp signature and garbage", lambda: b"RIFF\xf0\1\0\0WEBPVP8 " + noise(480), says=_ODD),
    Case("tiff signature and garbage", lambda: b"II*\0" + noise(500), says=_ODD),
    Case("avif signature and garbage", lambda: struct.pack("!I4s4sI", 16, b"ftyp", b"avif", 0) + noise(99), says=_ODD),
    Case("bmp signature and garbage", lambda: b"BM" + bytes(12) + b"\x28\0\0\0" + noise(99), says=_ODD),
    Case("truncated png", lambda: _sparse_png(2000, 2000)[:200], says=_ODD),
    Case("truncated jpeg", lambda: saved(picture(640, 480), "JPEG")[:900], says=_ODD),
    Case("truncated gif", lambda: saved(picture(640, 480), "GIF")[:900], says=_ODD),
    Case("truncated webp", lambda: saved(picture(640, 480), "WEBP")[:200], says=_ODD),
    Case("truncated tiff", lambda: saved(picture(), "TIFF")[:300], says=_ODD),
    Case("truncated avif", lambda: saved(picture(), "AVIF")[:-40], says=_ODD),
    Case("a pixel", lambda: saved(Image.new("RGB", (1, 1)), "PNG"), (1, 1)),
    Case("no pixels", lambda: png(0, 5, 8, 2, b""), says=_ODD),
    Case("narrow", lambda: _sparse_png(1, 20_000), (1, 20_000)),
    Case("png header of 30000", lambda: png(30_000, 30_000, 8, 2, b""), says="24 million pixels"),
    Case("png of 30000 with its pixels", lambda: _sparse_png(30_000, 30_000), says=_LARGE),
    Case("gif header of 60000", large_gif, says=_LARGE),
    Case("gif frame of 60000", large_gif_frame, says=_LARGE),
    Case(
        "bmp header of 30000", lambda: with_header_size(saved(picture(), "BMP"), 18, "<ii", 30_000, 30_000), says=_LARGE
    ),
    Case(
        "jpeg header of 65000",
        lambda: with_header_size(_jpeg(), _jpeg().index(b"\xff\xc0") + 5, "!HH", 65_000, 65_000),
        says=_LARGE,
    ),
    Case(
        "webp of more than its decoder may hold",
        lambda: saved(Image.new("RGB", (4000, 3600)), "WEBP", method=0),
        says="14 million pixels",
    ),
    Case("a few pixels too many", lambda: _sparse_png(6000, 4001), says=_LARGE),
    Case("more data than pixels", lambda: png(10, 10, 8, 0, bytes(110) + bytes(100 * 2**20)), (10, 10)),
    Case("zTXt bomb", lambda: png(1, 1, 8, 0, bytes(2), zTXt=b"parameters\0\0" + zeros(50)), says=_ODD),
    Case("iTXt bomb", lambda: png(1, 1, 8, 0, bytes(2), iTXt=b"zimage\0\1\0\0\0" + zeros(50)), says=_ODD),
    Case("iCCP bomb", lambda: png(1, 1, 8, 0, bytes(2), iCCP=b"profile\0\0" + zeros(50)), says=_ODD),
    Case("text that says it is transparency", lambda: png(1, 1, 8, 0, bytes(2), tEXt=b"transparency\0x"), says=_ODD),
    Case("text that says it is a profile", lambda: png(1, 1, 8, 0, bytes(2), tEXt=b"icc_profile\0x"), (1, 1)),
    Case("broken profile", lambda: saved(picture(), "PNG", icc_profile=noise(300)), SIZE),
    Case("broken exif", lambda: saved(picture(), "JPEG", exif=b"Exif\0\0" + noise(300)), SIZE),
    Case("animated gif", lambda: animated("GIF"), SIZE),
    Case("animated png", lambda: animated("PNG"), SIZE),
    Case("animated webp", lambda: animated("WEBP"), SIZE),
    Case("gif of 1000 frames", lambda: animated("GIF", 1000), SIZE),
    Case("gif with a page behind it", lambda: saved(picture(), "GIF") + b"<html><script>alert(1)</script>", SIZE),
    Case("png with a zip behind it", lambda: _png() + polyglot_zip(), SIZE),
    Case("bmp", lambda: saved(picture(), "BMP"), SIZE),
    Case("avif", lambda: saved(picture(), "AVIF", quality=95), SIZE),
    Case("tiff of 500 pages", lambda: animated("TIFF", 500), SIZE),
    Case("tiff without end", tiff_without_end, SIZE),
    Case("tiff of large tags", tiff_of_large_tags, says=_ODD),
    *(
        Case(f"tiff in {name}", lambda name=name: saved(picture(), "TIFF", compression=name), SIZE)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd")
    ),
    Case("tiff of floats", lambda: saved(Image.new("F", SIZE), "TIFF"), says=_ODD),
    Case("endless jpeg", endless_jpeg, says="takes too long"),
)

LARGEST = (
    Case("png", lambda: _sparse_png(6000, 4000), (6000, 4000)),
    Case("png turned", _turned_png, (4000, 6000)),
    Case(
        "progressive jpeg",
        lambda: saved(Image.new("RGB", (6000, 4000)), "JPEG", progressive=True, subsampling=0),
        (6000, 4000),
    ),
    Case("webp", lambda: saved(Image.new("RGBA", (4000, 3500)), "WEBP", method=0), (4000, 3500)),
    Case("avif", lambda: saved(Image.new("RGB", (5000, 4000)), "AVIF", speed=10), (5000, 4000)),
)
"""The largest images of each kind that are opened."""


def pixels(decoded: DecodedImage) -> np.ndarray:
    image = decoded.image
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)


def alpha(decoded: DecodedImage) -> np.ndarray:
    assert decoded.alpha is not None
    return np.frombuffer(decoded.alpha, np.uint8).reshape(decoded.image.height, decoded.image.width)


def quarters(decoded: DecodedImage) -> np.ndarray:
    seen = pixels(decoded)
    height, width = seen.shape[:2]
    return np.array([seen[y, x] for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)])


def assert_is_the_picture(decoded: DecodedImage) -> None:
    assert (decoded.image.width, decoded.image.height) == SIZE
    assert np.abs(quarters(decoded).astype(int) - QUARTERS).max() < 12
    assert decoded.alpha is None
