"""What is wrong with the database's file: damaged pages, missing rights, as sentences for the operator."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from bot.errors import StartupError, TemporaryFault, is_database_busy, is_disk_full

_INSTRUCTIONS = 10_000
"""After so many instructions SQLite asks whether to go on."""


_LOCKED = "is locked by another program, such as a database browser: close that, then try again."


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the file system and SQLite raise in the block into :class:`StartupError`, with one sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise StartupError(damaged(path, str(error))) from error
        if is_database_busy(error):
            raise TemporaryFault(f"{path} {_LOCKED}") from error
        raise StartupError(_unusable(path, error, str(error))) from error
    except OSError as error:
        raise StartupError(_unusable(path, error, error.strerror or str(error))) from error


def refuse_other(path: Path, tables: Collection[str], applied: Collection[str], known: Collection[str]) -> None:
    """Raise :class:`StartupError` if a database is another program's, or a newer version's, by its tables.

    ``applied`` are the ids of its migrations, ``known`` those of this program.
    """
    foreign = [name for name in tables if not name.lstrip("_").startswith(("yoyo_", "sqlite_"))]
    unknown = set(applied) - set(known)
    if (foreign or unknown) and not set(applied) & set(known):
        raise StartupError(
            f"{path} is the database of another program, and was left as it is: move it away, or set another DATA_DIR."
        )
    if unknown:
        raise StartupError(
            f"{path} was written by a newer zimage-bot (it knows “{max(unknown)}”): update the program, "
            "or restore a backup that is older."
        )


def damaged(path: Path, reason: str) -> str:
    """Return the sentence for a database whose file is damaged."""
    return (
        f"{path} is damaged ({reason}): put back a backup with `zimage-bot restore FOLDER`; `zimage-bot backup` makes "
        "such backups."
    )


def not_backed_up(path: Path, folder: Path, error: OSError | sqlite3.Error) -> str:
    """Return the sentence for a backup of the database at ``path`` that could not be made in ``folder``."""
    if is_database_busy(error):
        return f"No backup could be made, {path} {_LOCKED}"
    if isinstance(error, sqlite3.DatabaseError) and not is_disk_full(error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            return f"No backup could be made: {damaged(path, str(error))}"
        if code == sqlite3.SQLITE_ERROR:  # a table is missing
            return f"No backup could be made, {path} is not the bot's database ({error}): check DATA_DIR."
    # One that the bot raises itself, without a number, is about the room that is needed.
    has_no_rights = isinstance(error, OSError) and error.errno is not None and not is_disk_full(error)
    advice = "give the bot's user the right to write there" if has_no_rights else "make room there"
    return f"No backup could be made in {folder} ({error}): {advice}, or name another folder (--to, BACKUP_DIR)."


def _unusable(path: Path, error: Exception, reason: str) -> str:
    if is_disk_full(error):
        return f"{path.parent} cannot be used ({reason}): make room on its disk, or set another DATA_DIR."
    return (
        f"{path.parent} cannot be used ({reason}): give the bot's user the right to write there and to its files, or "
        "set another DATA_DIR."
    )


def damage_of(path: Path, until: float | None = None) -> str | None:
    """Return the first fault that SQLite finds in the pages of the database; None if there is none. Blocks.

    ``until`` is when to stop looking, as ``time.monotonic`` counts. Raises :class:`sqlite3.Error` if it cannot be read.
    """
    connection = sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
        if until is not None:
            connection.set_progress_handler(lambda: int(time.monotonic() > until), _INSTRUCTIONS)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    finally:
        connection.close()
    return None if found[0] == "ok" else str(found[0]).replace("\n", " ")
