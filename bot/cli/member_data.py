"""``zimage-bot export`` and ``zimage-bot forget``: what ``/privacy`` does, for people without Discord."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import typer

from bot.cli.data_lock import no_bot_on
from bot.errors import StartupError, TemporaryFault, WrongUsage
from bot.logs import configure_logging
from bot.media.files import write_file
from bot.plurals import counted
from bot.privacy.outside_discord import NoJobs, forget_here, forget_in_bot
from bot.privacy.privacy import Privacy
from bot.settings import Settings
from bot.store.database import Database, unapplied
from bot.store.faults import explained
from bot.store.operator_requests import Answer

_PART_BYTES = 2**30
_WAIT_SECONDS = 60.0


class _Folder:
    """Writes the ZIP files of an export into a folder."""

    def __init__(self, folder: Path, member_id: int) -> None:
        self._folder = folder
        self._member_id = member_id
        self.paths: list[Path] = []

    @property
    def limit(self) -> int:
        return _PART_BYTES

    async def send(self, number: int, part: bytes) -> None:
        path = self._folder / f"export-{self._member_id}-{number}.zip"
        await asyncio.to_thread(self._write, path, part)
        self.paths.append(path)

    def _write(self, path: Path, part: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(path, part)
        except OSError as error:
            raise WrongUsage(
                f"{path} cannot be written ({error.strerror}): name another folder with --to, or make room there."
            ) from error


def export_member(settings: Settings, member_id: int, to: Path) -> None:
    """Write everything that is stored about a member as ZIP files, while the bot runs or not."""
    configure_logging(settings)
    folder = _Folder(to, member_id)
    missing = asyncio.run(_export(settings, member_id, folder))
    for path in folder.paths:
        typer.echo(path)
    if missing:
        typer.echo(f"{counted(missing, 'file')} could not be packed: they are gone, or cannot be read.")


def forget_member(settings: Settings, member_id: int) -> None:
    """Delete a member's data: in the running bot, which cancels their jobs first; else here."""
    configure_logging(settings)
    found = asyncio.run(_forget(settings, member_id))
    typer.echo(f"Deleted: {counted(found.jobs, 'request')} and {counted(found.pictures, 'picture')}.")
    if found.still_open:
        typer.echo(f"{counted(found.still_open, 'request')} being posted are forgotten by the daily task.")
    typer.echo("Messages that were posted in Discord stay: delete them there.")


async def _export(settings: Settings, member_id: int, folder: _Folder) -> int:
    async with _opened(settings) as (database, privacy):
        del database
        return (await privacy.export(member_id, 1, folder)).missing


async def _forget(settings: Settings, member_id: int) -> Answer:
    try:
        with no_bot_on(settings.data_dir):
            async with _opened(settings) as (database, privacy):
                return await forget_here(database, privacy, member_id)
    except TemporaryFault:
        pass
    async with _opened(settings) as (database, _):
        found = await forget_in_bot(database, member_id, _WAIT_SECONDS)
    if found is None:
        raise TemporaryFault(
            "The running bot has not answered within a minute. It deletes the data once it is connected to Discord; "
            "run the command again to see that it has."
        )
    return found


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, Privacy]]:
    """Open the database, which must be there and up to date: the running bot may be of another version."""
    path = settings.database_path
    with explained(path):
        if not path.is_file():
            raise StartupError(f"There is no database in {settings.data_dir}: check DATA_DIR.")
        if unapplied(path):
            raise StartupError(f"{path} is of an older version: run `zimage-bot migrate` with the bot stopped.")
        database = await Database.open(path)
    try:
        yield database, Privacy(database, NoJobs(settings.original_dir), path, settings.image_dir)
    finally:
        await database.close()
