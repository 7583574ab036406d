"""``zimage-bot backup``: a backup of the database and the pictures, also while the bot runs."""

from __future__ import annotations

from pathlib import Path

import typer

from bot.logs import configure_logging
from bot.settings import Settings
from bot.store.full_backups import make_backup, read_manifest


def back_up(settings: Settings, to: Path | None, keep: int | None) -> None:
    """Make a backup and say where it is. Raises :class:`StartupError` if it cannot be made."""
    configure_logging(settings)
    folder = to or settings.full_backup_dir
    path = make_backup(settings.data_dir, folder, keep=settings.backup_keep if keep is None else keep)
    manifest = read_manifest(path)
    size = sum(file.size for file in manifest.files.values())
    typer.echo(f"{path}: the database and {len(manifest.pictures)} pictures, {size / 1e6:.1f} MB.")
    typer.echo(f"To put it back, stop the bot and run: zimage-bot restore {path}")
