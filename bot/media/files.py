"""Image files: atomic writes, removal with thumbnails, quarantine, and the search for files that no row names."""

from __future__ import annotations

import math
import os
import re
import secrets
from collections.abc import Container, Iterable
from pathlib import Path

import structlog

from bot.deletion_log import note_files
from bot.errors import WrongUsage

log = structlog.get_logger(__name__)

_OURS = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{20})?\.(?:png|webp|(?:[0-9a-f]{8}\.)?partial)")
"""Names that the bot gives: images and their thumbnails have the images' ids, originals their hashes.

Temporary files may add a random part.
"""


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically: to a temporary file beside it, which is flushed to disk and renamed. Blocks.

    Concurrent writers of the same file each use a temporary file of their own.
    """
    partial_path = path.with_suffix(f".{secrets.token_hex(4)}.partial")
    try:
        with partial_path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial_path.replace(path)
    except OSError:
        partial_path.unlink(missing_ok=True)
        raise


def save_picture(path: Path, data: bytes) -> None:
    """Write a picture to a path given on the command line, creating its folder. Blocks.

    Raises :class:`StartupError` if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    except OSError as error:
        raise WrongUsage(f"{path} cannot be written: {error.strerror}. Name another file.") from error


def thumbnail_path(picture: Path) -> Path:
    """Return where the thumbnail of a picture's file is kept: in a folder beside that of the pictures."""
    return picture.parent.with_name("thumbnails") / f"{picture.stem}.webp"


def remove_files(folder: Path, names: Iterable[str], *, noted: bool = True) -> int:
    """Remove files with their thumbnails; unless ``noted`` is False, note it in the deletion log beside their folder.

    Logs those that cannot be removed, which housekeeping tries again. Returns their number. Blocks.
    """
    names = list(names)
    if noted:
        note_files(folder.parent, names)
    # The picture first: see bot.media.thumbnails.keep_thumbnail.
    return sum(not (_remove(folder / name) and _remove(thumbnail_path(folder / name))) for name in names)


def left_over(folder: Path, kept: Container[str], written_before: float = math.inf) -> list[str]:
    """Return the names of the bot's files in a folder that are not in ``kept`` and were written before a time. Blocks.

    Files with other names than the bot gives are left out. ``written_before`` is in UTC seconds.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        ours = [entry for entry in entries if _OURS.fullmatch(entry.name)]
        return [entry.name for entry in ours if entry.name not in kept and _is_old(entry, written_before)]


def quarantine_folder(folder: Path) -> Path:
    """Return where a folder's files lie that no row of the database names: inside it, so that no file is copied."""
    return folder / "quarantine"


def quarantine(folder: Path, names: Iterable[str]) -> int:
    """Move files into the folder's quarantine, where they are as old as the move. Returns their number. Blocks."""
    target = quarantine_folder(folder)
    target.mkdir(mode=0o700, exist_ok=True)
    moved = 0
    for name in names:
        try:
            os.utime(folder / name)
            (folder / name).replace(target / name)
        except FileNotFoundError:
            continue
        moved += 1
    return moved


def take_back(folder: Path, kept: Container[str]) -> int:
    """Move the files in ``kept`` back from the folder's quarantine. Returns their number. Blocks."""
    moved = 0
    for name in left_over(quarantine_folder(folder), ()):
        if name in kept and not (folder / name).exists():
            (quarantine_folder(folder) / name).replace(folder / name)
            moved += 1
    return moved


def _remove(path: Path) -> bool:
    """Remove a file if it is there. Returns False, after logging it, if it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("file_not_removed", file=path.name, reason=str(error))
        return False
    return True


def _is_old(entry: os.DirEntry[str], written_before: float) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < written_before
    except FileNotFoundError:  # removed meanwhile
        return False
