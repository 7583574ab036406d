"""Pictures on disk: written whole or not at all, and removed."""

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
"""Images are named by their ids, sources by their hashes; what is half written by either, and formerly by it alone."""


def write_file(path: Path, data: bytes) -> None:
    """Write the whole file or none: a temporary one beside it, flushed to disk, then renamed. Blocks.

    Several may write the same file at once: each has a temporary one of its own.
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
    """Write a picture where somebody at a terminal asked for it, making its folder. Blocks.

    Raises :class:`StartupError` where that cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}. Name another file.") from error


def remove_files(folder: Path, names: Iterable[str]) -> int:
    """Remove files; how many could not be. Those are logged, and :func:`sweep` tries them again. Blocks."""
    failed = 0
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            failed += 1
            log.warning("file_not_removed", file=name, reason=str(error))
    return failed


def sweep(folder: Path, kept: set[str], written_before: float) -> int:
    """Remove what lies in a folder, is not named in ``kept`` and was written before a time; how many. Blocks.

    So nothing stays for ever that a crash left: a picture without its row, half a file, a file that went not. Only
    names that the bot itself gives count: what somebody else put there stays.
    """
    strangers: list[str] = []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            ours = [entry for entry in entries if _OURS.fullmatch(entry.name)]
            strangers = [entry.name for entry in ours if entry.name not in kept and _is_old(entry, written_before)]
    return len(strangers) - remove_files(folder, strangers)


def _is_old(entry: os.DirEntry[str], written_before: float) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < written_before
    except FileNotFoundError:  # somebody else removed it meanwhile
        return False
