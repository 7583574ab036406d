"""The commands that look after the bot's data and settings, without Discord."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.ending import or_explain, settings_or_explain

_MemberId = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="The id of the person in Discord.")]


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

    @app.command()
    def export(
        member: _MemberId,
        to: Annotated[Path, typer.Option(help="The folder for the ZIP files.")] = Path(),
    ) -> None:
        """Write everything that is stored about a person as ZIP files, as /privacy export does."""
        settings = settings_or_explain()
        from bot.cli.member_data import export_member

        or_explain(lambda: export_member(settings, member, to))

    @app.command()
    def forget(member: _MemberId) -> None:
        """Delete what is stored about a person, as /privacy delete does, while the bot runs or not."""
        settings = settings_or_explain()
        from bot.cli.member_data import forget_member

        or_explain(lambda: forget_member(settings, member))

    @app.command()
    def config() -> None:
        """Show the settings in force and where each comes from: the environment, .env, or the default."""
        settings = settings_or_explain()
        from bot.cli.config import show_config

        show_config(settings)
