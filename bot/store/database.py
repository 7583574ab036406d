"""The SQLite file: one writer thread with one transaction per call, readers apart, and the migrations.

A write is a plain function of a connection; it runs whole inside ``BEGIN IMMEDIATE`` … ``COMMIT`` and is rolled
back whole where it raises. Reads never wait for it (WAL).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import yoyo

from bot.errors import StartupError
from bot.store.database_thread import DatabaseThread

MIGRATIONS = Path(__file__).parents[2] / "migrations"
T = TypeVar("T")


def migrate(path: Path, migrations: Path = MIGRATIONS) -> list[str]:
    """Bring the database up to date, making it where there is none; the names of the migrations that were applied.

    Blocks. A migration that fails is rolled back whole and ends in :class:`StartupError`, as does a database
    that a newer program has already migrated further.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    backend = yoyo.get_backend(f"sqlite:///{path.resolve()}")
    try:
        known = yoyo.read_migrations(str(migrations))
        if not known:
            raise StartupError(f"There are no migrations in {migrations}: run the bot from its own checkout.")
        _refuse_newer(path, set(_applied(backend)) - {migration.id for migration in known})
        pending = backend.to_apply(known)
        names = [migration.id for migration in pending]
        try:
            with backend.lock():
                backend.apply_migrations(pending)
        except Exception as error:
            raise StartupError(
                f"Migration of {path} failed and was rolled back: {error}. The data is as it was; please report this."
            ) from error
        return names
    finally:
        backend.connection.close()


def unapplied(path: Path, migrations: Path = MIGRATIONS) -> list[str]:
    """The names of the migrations that the database still needs; nothing is changed. Blocks.

    Raises :class:`StartupError` where a newer program has migrated it further.
    """
    backend = yoyo.get_backend(f"sqlite:///{path.resolve()}")
    try:
        names = [migration.id for migration in yoyo.read_migrations(str(migrations))]
        done = _applied(backend)
        _refuse_newer(path, set(done) - set(names))
        return [name for name in names if name not in done]
    finally:
        backend.connection.close()


def _refuse_newer(path: Path, strangers: set[str]) -> None:
    if strangers:
        raise StartupError(
            f"{path} was written by a newer zimage-bot (it knows “{max(strangers)}”): update the program, "
            "or restore a backup that is older."
        )


def _applied(backend: Any) -> list[str]:
    """The ids of applied migrations, in the order in which they were applied."""
    if "_yoyo_migration" not in {row[0] for row in backend.execute("SELECT name FROM sqlite_master").fetchall()}:
        return []
    rows = backend.execute("SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc, migration_id")
    return [row[0] for row in rows.fetchall()]


class Database:
    """An open database. Make it with :meth:`open`, end it with :meth:`close`."""

    def __init__(self, threads: tuple[DatabaseThread, DatabaseThread], reader: aiosqlite.Connection) -> None:
        self._writer, self._looker = threads
        self._reader = reader
        self._connection: sqlite3.Connection
        self._view: sqlite3.Connection

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Migrate and open the file; it and its folder are for the bot's user alone."""
        writer, looker = DatabaseThread("database-writer", together=0.005), DatabaseThread("database-reader")
        path = await writer.run(path.absolute)
        await writer.run(partial(migrate, path))
        reader = await aiosqlite.connect(f"file:{path}?mode=ro", uri=True)
        reader.row_factory = sqlite3.Row
        await reader.execute("PRAGMA busy_timeout = 5000")
        database = cls((writer, looker), reader)
        database._connection = await writer.run(partial(_connect, path))
        database._view = await looker.run(partial(_connect_to_read, path))
        return database

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` in one transaction on the writer's thread; its result, or its exception after a rollback."""
        return await self._writer.run(partial(self._transaction, function))

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function``, which only reads, on one state of the database; never waits for the writer."""
        return await self._looker.run(partial(self._snapshot, function))

    async def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """The rows of one SELECT; never waits for the writer."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    async def close(self) -> None:
        """Finish the writes under way and close the file."""
        await self._reader.close()
        await self._looker.run(self._view.close)
        await self._writer.run(self._connection.close)
        self._looker.stop()
        self._writer.stop()

    def _snapshot(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._view.execute("BEGIN")
        try:
            return function(self._view)
        finally:
            self._view.execute("ROLLBACK")

    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = function(connection)
            connection.commit()
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise
        return result


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;"
        "PRAGMA secure_delete = ON;"  # what is forgotten is overwritten
    )
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection
