"""Image files: atomic writes, removal, and the sweep of files that no row names."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import structlog

from bot.errors import StartupError

log = structlog.get_logger(__name__)

_OURS = re.compile(r"[0-9a-f]{12}(?:[0-9a-f]{20})?\.(?:png|(?:[0-9a-f]{8}\.)?partial)")
"""Names that the bot gives: images have their ids, originals their hashes; temporary files may add a random part."""


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
        raise StartupError(f"{path} cannot be written: {error.strerror}. Name another file.") from error


def remove_files(folder: Path, names: Iterable[str]) -> int:
    """Remove files and log those that cannot be removed; :func:`sweep` tries again. Returns their number. Blocks."""
    failed = 0
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            failed += 1
            log.warning("file_not_removed", file=name, reason=str(error))
    return failed


def sweep(folder: Path, kept: set[str], written_before: float) -> int:
    """Remove the bot's files in a folder that are not in ``kept`` and were written before a time. Blocks.

    Such files are left over from a crash or a failed removal. Files with other names than the bot gives are not
    touched. Returns the number of files removed.
    """
    unknown: list[str] = []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            ours = [entry for entry in entries if _OURS.fullmatch(entry.name)]
            unknown = [entry.name for entry in ours if entry.name not in kept and _is_old(entry, written_before)]
    return len(unknown) - remove_files(folder, unknown)


def _is_old(entry: os.DirEntry[str], written_before: float) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < written_before
    except FileNotFoundError:  # removed meanwhile
        return False
