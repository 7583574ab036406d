"""Pictures on disk: written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from bot.errors import StartupError


def write_file(path: Path, data: bytes) -> None:
    """Write the whole file or none: a temporary one beside it, flushed to disk, then renamed. Blocks."""
    partial_path = path.with_suffix(".partial")
    with partial_path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial_path.replace(path)


def save_picture(path: Path, data: bytes) -> None:
    """Write a picture where somebody at a terminal asked for it, making its folder. Blocks.

    Raises :class:`StartupError` where that cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}. Name another file.") from error
