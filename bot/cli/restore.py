"""``zimage-bot restore``: puts a backup in the place of the data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from bot.cli.data_lock import no_bot_on
from bot.logs import configure_logging
from bot.plurals import counted
from bot.settings import Settings
from bot.store.restore import restore as restore_backup


def restore(settings: Settings, backup: Path) -> None:
    """Restore a backup and say what came of it. Raises :class:`StartupError` if it cannot be restored."""
    configure_logging(settings)
    with no_bot_on(settings.data_dir):
        restored = restore_backup(backup, settings.data_dir)
    made = datetime.fromtimestamp(restored.made_at, UTC)
    typer.echo(
        f"Restored the backup of {made:%Y-%m-%d %H:%M} UTC: {counted(restored.jobs, 'request')}, "
        f"{counted(restored.pictures, 'picture')} put in place."
    )
    if restored.damaged:
        typer.echo(f"{counted(restored.damaged, 'picture')} of the backup are missing or damaged and were left out.")
    if restored.members or restored.deleted:
        typer.echo(
            f"Deleted again, as it was since: the data of {counted(restored.members, 'member')}, "
            f"and {counted(restored.deleted, 'picture')}."
        )
    if not restored.knows_deletions:
        typer.echo(
            f"There is no log of deletions in {settings.data_dir}, so what members have deleted since that backup is "
            "back: if you have the old data folder, copy its folder deletions there and restore again; else find "
            "their ids in the log (member_forgotten) and run `zimage-bot forget ID` for each."
        )
    if restored.aside is not None:
        typer.echo(f"The database that was there is in {restored.aside}.")
