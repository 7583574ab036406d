"""The texts in an image file: ``zimage`` with our own fields as JSON, ``parameters`` in the layout of other tools.

In a PNG they are text chunks. In a WebP, ``parameters`` is the EXIF field UserComment, where other tools look for it,
and ``zimage`` is the field ImageDescription. Imports only the standard library and Pillow: the process that decodes
untrusted images uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PIL import ExifTags, Image

FIELD = "zimage"
PARAMETERS = "parameters"

TEXT_LIMIT = 64 * 1024
"""The longest text in bytes of UTF-8. A longer one is left out, since half of it would be useless."""

_DESCRIPTION_START = f"{FIELD}: "
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"
"""What a UserComment begins with, by its encoding."""


def embedded_text(image: Image.Image, kind: str | None) -> dict[str, str]:
    """Return the texts of an image that are not too long, without validating them.

    ``kind`` is Pillow's name of the file's format: others than PNG and WEBP have no texts. Damaged metadata counts as
    none.
    """
    if kind not in _READERS:
        return {}
    try:
        found = _READERS[kind](image)
    except Exception:  # noqa: BLE001 - hostile bytes can raise anything
        return {}
    return {name: text for name, text in found.items() if 0 < len(text.encode(errors="replace")) <= TEXT_LIMIT}


def exif_of(text: Mapping[str, str]) -> bytes:
    """Return the EXIF data of a WebP with these texts; ``zimage`` must be ASCII, as JSON can be."""
    exif = Image.Exif()
    if FIELD in text:
        exif[ExifTags.Base.ImageDescription] = _DESCRIPTION_START + text[FIELD]
    if PARAMETERS in text:
        comment = _UNICODE + text[PARAMETERS].encode("utf-16-be", errors="replace")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


def _of_png(image: Image.Image) -> dict[str, str]:
    found = {name: image.info.get(name) for name in (PARAMETERS, FIELD)}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _of_webp(image: Image.Image) -> dict[str, str]:
    exif = image.getexif()
    found: dict[str, str] = {}
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes) and len(comment) <= 2 * TEXT_LIMIT + len(_UNICODE):
        found[PARAMETERS] = _decoded(comment)
    description = exif.get(ExifTags.Base.ImageDescription)
    if isinstance(description, str) and description.startswith(_DESCRIPTION_START):
        found[FIELD] = description.removeprefix(_DESCRIPTION_START)
    return found


def _decoded(comment: bytes) -> str:
    """Return the text of a UserComment; "" if it does not say its encoding."""
    if comment.startswith(_UNICODE):
        return comment.removeprefix(_UNICODE).decode("utf-16-be", errors="replace")
    if comment.startswith(_ASCII):
        return comment.removeprefix(_ASCII).decode("ascii", errors="replace")
    return ""


_READERS: dict[str | None, Callable[[Image.Image], dict[str, str]]] = {"PNG": _of_png, "WEBP": _of_webp}
