"""The SQLite file: a writer thread with one transaction a call, a reader thread, and the migrations.

A write is a plain function that takes a connection. It runs in one transaction (``BEGIN IMMEDIATE`` … ``COMMIT``),
which is rolled back if the function raises. Reads never wait for writes (WAL).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sqlite3
import stat
from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite
import structlog
import yoyo
from yoyo.backends import SQLiteBackend
from yoyo.connections import parse_uri

from bot import metrics
from bot.errors import Restarting, StartupError, is_disk_full
from bot.store.backups import back_up
from bot.store.database_thread import DatabaseThread, to_its_end
from bot.store.disk_reserve import DiskReserve
from bot.store.faults import refuse_other
from bot.store.group_commit import GroupCommit, Write
from bot.store.migration_lock import no_other_migrates

log = structlog.get_logger(__name__)

T = TypeVar("T")


def find_migrations(package: Path) -> Path:
    """Return the folder of the migrations: inside the installed package ``bot``, or beside it in a checkout."""
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


MIGRATIONS = find_migrations(Path(__file__).parents[1])
"""The folder of the migrations: SQL files whose names begin with a number."""


def migrate(path: Path, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply the migrations that the database lacks, creating the file if needed. Blocks.

    A database that was migrated before is backed up first. Returns the names of the applied migrations. Raises
    :class:`StartupError` if the backup cannot be made, if a migration fails, which is rolled back whole, if a newer
    program has migrated the database further, or if it is another program's. A file and folders that were created are
    removed again if it fails.
    """
    known = _read_migrations(migrations)
    if not known:
        raise StartupError(f"There are no migrations in {migrations}: install zimage-bot again.")
    with _created_or_removed(path):
        return _apply(path, known)


@contextlib.contextmanager
def _created_or_removed(path: Path) -> Iterator[None]:
    """Create the database and its folders if they are not there, and remove what was created if the block fails."""
    new_folders = list(takewhile(lambda folder: not folder.exists(), path.parents))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        path.touch(mode=0o600, exist_ok=False)
        created = True
    except FileExistsError:  # maybe by another process at this moment, whose file it then is
        created = False
    try:
        yield
    except BaseException:
        if created:
            for name in _files_of(path):
                name.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else has put something there
                for folder in new_folders:
                    folder.rmdir()
        raise


def _apply(path: Path, known: Any) -> list[str]:
    """Apply the migrations of ``known`` that the database lacks and return their names."""
    _make_private(path)
    with _connected(path) as backend:
        refuse_other(path, _tables(backend), _applied(backend), {migration.id for migration in known})
        if not backend.to_apply(known):
            return []
        with no_other_migrates(path):
            return _apply_pending(path, known, backend)


def _apply_pending(path: Path, known: Any, backend: Any) -> list[str]:
    applied = _applied(backend)
    pending = backend.to_apply(known)
    names = [migration.id for migration in pending]
    backup = back_up(path, names[0]) if applied and names else None
    try:
        # yoyo prints what a statement returns, and SQLite's ALTER TABLE ... CHECK returns its own check.
        with contextlib.redirect_stdout(io.StringIO()):
            backend.apply_migrations(pending)
    except Exception as error:
        # A supervisor may start the program again and again, so nothing is kept of what changed nothing.
        if backup is not None and _applied(backend) == applied:
            backup.unlink(missing_ok=True)
        raise StartupError(
            f"Migration of {path} failed and was rolled back: {error}. The data is as it was; please report this."
        ) from error
    return names


def _files_of(path: Path) -> list[Path]:
    """Return the paths of the database and of the files that SQLite keeps beside it."""
    return [path, *(path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm", "journal"))]


def _make_private(path: Path) -> None:
    """Let only this user read the database and its folder, also those that were made before or copied from elsewhere.

    SQLite gives the files of its write-ahead log the mode of the database. A folder that others use too, such as
    ``/tmp``, stays as it is. So does what this user may not change, which is logged.
    """
    for name in (path.parent, *_files_of(path)):
        try:
            mode = name.stat().st_mode
            if mode & 0o077 and not mode & stat.S_ISVTX:
                name.chmod(stat.S_IMODE(mode) & 0o700)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("not_private", path=str(name), reason=error.strerror)


def unapplied(path: Path, migrations: Path = MIGRATIONS) -> list[str]:
    """Return the names of the migrations that the database lacks, without changing it. Blocks.

    Raises :class:`StartupError` if a newer program has migrated it further, or it is another program's.
    """
    with _connected(path) as backend:
        names = [migration.id for migration in _read_migrations(migrations)]
        done = _applied(backend)
        refuse_other(path, _tables(backend), done, names)
        return [name for name in names if name not in done]


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[Any]:
    """Yield yoyo's backend. ``yoyo.get_backend`` would look through all installed packages for its class."""
    backend = SQLiteBackend(parse_uri(f"sqlite:///{path.resolve()}"), yoyo.default_migration_table)
    with contextlib.closing(backend.connection):
        backend.init_database()
        yield backend


def _read_migrations(folder: Path) -> Any:
    """Return the migrations in a folder, without other SQL files such as ``schema.sql``."""
    return yoyo.read_migrations(str(folder)).filter(lambda migration: migration.id[0].isdigit())


def _tables(backend: Any) -> set[str]:
    return {row[0] for row in backend.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}


def _applied(backend: Any) -> list[str]:
    """Return the ids of applied migrations, in the order in which they were applied."""
    if "_yoyo_migration" not in _tables(backend):
        return []
    rows = backend.execute("SELECT migration_id FROM _yoyo_migration ORDER BY applied_at_utc, migration_id")
    return [row[0] for row in rows.fetchall()]


class Database:
    """An open database. Created by :meth:`open`; must be closed with :meth:`close`.

    ``reserve`` is room for it on a full disk, once somebody holds that.
    """

    def __init__(
        self,
        writer: tuple[DatabaseThread, sqlite3.Connection],
        reader: tuple[DatabaseThread, sqlite3.Connection],
        query_connection: aiosqlite.Connection,
        reserve: DiskReserve,
    ) -> None:
        self._write_thread, self._write_connection = writer
        self._writes = GroupCommit(self._transaction)
        self._read_thread, self._read_connection = reader
        self._query_connection = query_connection
        self.reserve = reserve
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Migrate and open the file, creating it and its folder if needed."""
        writer = DatabaseThread("database-writer", wake_interval=0.005)
        reader = DatabaseThread("database-reader")
        path = await writer.run(path.absolute)
        await to_its_end(writer.run(partial(migrate, path)))
        query_connection = await aiosqlite.connect(f"file:{path}?mode=ro", uri=True)
        query_connection.row_factory = sqlite3.Row
        await query_connection.execute("PRAGMA busy_timeout = 5000")
        write_connection = await writer.run(partial(_connect, path))
        read_connection = await reader.run(partial(_connect_to_read, path))
        return cls(
            (writer, write_connection),
            (reader, read_connection),
            query_connection,
            DiskReserve(path.with_name("reserve")),
        )

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function`` in one transaction and return its result; if it raises, roll back and raise the same.

        It may share the transaction with others that wait, and may be run again if that fails as a whole.
        """
        self._check_open()
        write = Write(function)
        self._writes.add(write)
        try:
            await self._write_thread.run(partial(self._writes.run, write))
        except asyncio.CancelledError:
            write.dropped = True
            raise
        return cast("T", write.result())

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function``, which must not write, on one snapshot of the database and return its result."""
        self._check_open()
        return await self._read_thread.run(partial(self._snapshot, function))

    async def query(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Return the rows of one SELECT."""
        self._check_open()
        return list(await self._query_connection.execute_fetchall(sql, parameters))

    async def close(self) -> None:
        """Finish the pending writes and close the file. Every later call raises :class:`Restarting`."""
        self._closed = True
        await self._query_connection.close()
        await self._read_thread.run(self._read_connection.close)
        await self._write_thread.run(self._write_connection.close)
        self._read_thread.stop()
        self._write_thread.stop()

    def _check_open(self) -> None:
        if self._closed:
            raise Restarting

    @metrics.DATABASE_SECONDS.labels("read").time()
    def _snapshot(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self._read_connection.execute("BEGIN")
        try:
            return function(self._read_connection)
        finally:
            self._read_connection.execute("ROLLBACK")

    @metrics.DATABASE_SECONDS.labels("write").time()
    def _transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``function``; once more with the reserved room, if that is held, where the disk is full."""
        try:
            return self._try_transaction(function)
        except sqlite3.OperationalError as error:
            if not is_disk_full(error) or not self.reserve.release():
                raise
        return self._try_transaction(function)

    def _try_transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._write_connection
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
        "PRAGMA secure_delete = ON;"  # deleted data is overwritten
    )
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection
