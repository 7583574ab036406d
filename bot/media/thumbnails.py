"""Small copies of the bot's pictures, so that a sheet of many pictures opens none of them in full.

They lie in a folder of their own, each under the name of its picture, and are of use only while that picture exists.
All functions block.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import structlog
from PIL import Image

from bot.media.files import left_over, remove_files, thumbnail_path, write_file

log = structlog.get_logger(__name__)

_SIDE = 320
_QUALITY = 80


def read_thumbnail(picture: Path) -> bytes | None:
    """Return the thumbnail of a picture's file as WebP; None if there is none, or if the picture is gone."""
    try:
        return thumbnail_path(picture).read_bytes() if picture.is_file() else None
    except OSError:
        return None


def add_thumbnail(picture: Path) -> bytes:
    """Make the thumbnail of a picture's file, which is opened in full. Raises :class:`OSError` if it is gone.

    Returns the thumbnail as WebP of some 10 kB, its longer side at most 320 pixels.
    """
    with Image.open(picture) as opened:
        return keep_thumbnail(picture, opened.convert("RGB"))


def keep_thumbnail(picture: Path, pixels: Image.Image) -> bytes:
    """Write the thumbnail of a picture whose file exists already, and return it. A failure to write it is logged.

    ``pixels`` are the picture's and may be changed.
    """
    pixels.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    pixels.save(buffer, "WEBP", quality=_QUALITY, method=0)  # the fastest: every picture gets one
    path = thumbnail_path(picture)
    try:
        path.parent.mkdir(exist_ok=True)
        write_file(path, buffer.getvalue())
        # Who deletes the picture removes its file first and its thumbnail after that: one of us sees the other.
        if not picture.is_file():
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("thumbnail_not_kept", file=path.name, reason=str(error))
    return buffer.getvalue()


def sweep_thumbnails(pictures: Path, written_before: float) -> int:
    """Remove thumbnails that were written before a time and whose pictures are not in the folder ``pictures``.

    Returns the number of files removed.
    """
    if not pictures.is_dir():
        return 0
    with os.scandir(pictures) as entries:
        kept = {thumbnail_path(pictures / entry.name).name for entry in entries}
    folder = thumbnail_path(pictures / "any").parent
    names = left_over(folder, kept, written_before)
    return len(names) - remove_files(folder, names, noted=False)
