"""Copies of the database: one before each migration, in the folder ``backups`` beside it. All functions block.

:mod:`bot.store.full_backups` makes backups of everything.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bot.errors import StartupError, is_database_busy

log = structlog.get_logger(__name__)

IsStopping = Callable[[], bool]
_PAGES = 1_000
"""How many pages are copied between two looks at whether the bot is stopping: 4 MB."""
_INSTRUCTIONS = 100_000
"""How many instructions of SQLite are executed between two such looks."""
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r".+-before-.+-(?P<time>\d{8}T\d{6}Z)\.sqlite3(?:\.partial)?")
"""The names that the bot gives; a backup that was not finished keeps its suffix ``.partial``."""


def backup_folder(database_path: Path) -> Path:
    """Return the folder of a database's backups."""
    return database_path.parent / "backups"


def back_up(database_path: Path, migration: str) -> Path:
    """Copy the database before a migration. Returns the path of the copy, which only this user may read.

    The copy is on disk and checked on return. Raises :class:`StartupError` if it cannot be made; the database is not
    changed.
    """
    folder = backup_folder(database_path)
    made = datetime.fromtimestamp(time.time(), UTC).strftime(TIME_FORMAT)
    path = folder / f"{database_path.stem}-before-{migration}-{made}.sqlite3"
    partial_path = path.with_name(f"{path.name}.partial")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        partial_path.unlink(missing_ok=True)
        os.close(os.open(partial_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copy_database(database_path, partial_path)
        flush(partial_path)
        partial_path.replace(path)
        flush(folder)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial_path.unlink(missing_ok=True)
        full = isinstance(error, OSError | sqlite3.OperationalError)
        advice = "Make room there" if full else "Restore an older backup"
        if is_database_busy(error):
            advice = "Close the program that has it locked"
        raise StartupError(
            f"No backup of {database_path} could be made in {folder} ({error}), so it was not migrated. {advice}, then "
            "start again; the data is as it was."
        ) from error
    log.info("database_backed_up", file=path.name, bytes=path.stat().st_size)
    return path


def remove_old_backups(folder: Path, made_before: float) -> int:
    """Remove backups that the bot made up to a time in UTC seconds. Other files stay. Returns the number removed."""
    removed = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is not None and seconds_of(match["time"]) <= made_before:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def never() -> bool:
    """Return False: what copies a database is to go on to its end."""
    return False


def check_stop(is_stopping: IsStopping) -> None:
    """Raise :class:`InterruptedError` if the bot is stopping."""
    if is_stopping():
        raise InterruptedError("the bot is stopping")


def copy_database(source_path: Path, target_path: Path, is_stopping: IsStopping = never) -> None:
    """Copy a database that may be in use, as one file without a write-ahead log, and check the copy.

    Raises :class:`sqlite3.DatabaseError` if the copy is damaged, and :class:`InterruptedError` soon after
    ``is_stopping`` returns True.
    """
    with closing(sqlite3.connect(source_path)) as source, closing(sqlite3.connect(target_path)) as target:
        source.execute("BEGIN")  # one snapshot for all steps: SQLite begins again when somebody writes between two
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=_PAGES, progress=lambda *_: check_stop(is_stopping))
        target.execute("PRAGMA journal_mode = DELETE")
        target.set_progress_handler(is_stopping, _INSTRUCTIONS)
        try:
            (verdict,) = target.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError:
            check_stop(is_stopping)
            raise
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {verdict}")


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seconds_of(text: str) -> float:
    """Return the time in a backup's name in UTC seconds; infinity if there is no such day."""
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")
