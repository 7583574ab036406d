"""The commands that look after the bot's data: ``backup``, ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.ending import or_explain, settings_or_explain


def add_data_commands(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command()
    def backup(
        to: Annotated[
            Path | None, typer.Option(help="The folder of the backups. Default: the BACKUP_DIR setting.")
        ] = None,
        keep: Annotated[
            int | None, typer.Option(min=0, help="How many backups are kept; 0: all. Default: the BACKUP_KEEP setting.")
        ] = None,
    ) -> None:
        """Back up the database and the pictures, also while the bot runs."""
        settings = settings_or_explain()
        from bot.cli.backup import back_up

        or_explain(lambda: back_up(settings, to, keep))

    @app.command()
    def restore(
        backup: Annotated[Path, typer.Argument(help="The folder of one backup, as `backup` has named it.")],
    ) -> None:
        """Put a backup in the place of the data, which is kept as a copy. Stop the bot first.

        Checks the backup, and deletes again what members have deleted since it was made.
        """
        settings = settings_or_explain()
        from bot.cli.restore import restore as restore_backup

        or_explain(lambda: restore_backup(settings, backup))
