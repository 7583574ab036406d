"""A backup before each migration: whole, private, restorable, and a reason not to migrate if it cannot be made."""

from __future__ import annotations

import logging
import resource
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import StartupError
from bot.store.backups import back_up
from bot.store.database import MIGRATIONS, Database, migrate, unapplied
from bot.store.facts import read_fact, write_fact
from tests.helpers.databases import add_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return add_database(tmp_path / "data" / "bot.sqlite3")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a newer program."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "0098_future.sql").write_text("CREATE TABLE future (id INTEGER);\n")
    (folder / "0099_loss.sql").write_text("DELETE FROM facts;\n")
    return folder


def backups(path: Path) -> list[Path]:
    folder = path.parent / "backups"
    return sorted(folder.iterdir()) if folder.exists() else []


async def test_what_a_migration_lost_is_in_the_backup(path: Path, newer: Path) -> None:
    """Also what is in the write-ahead log alone, while another connection has the file open."""
    database = await Database.open(path)
    await write_fact(database, "a", "1")
    assert migrate(path, newer) == ["0098_future", "0099_loss"]
    assert await read_fact(database, "a") is None
    await database.close()
    (backup,) = backups(path)
    assert backup.name.startswith("bot-before-0098_future-")
    for leftover in path.parent.glob("bot.sqlite3*"):
        leftover.unlink()
    shutil.copy(backup, path)
    restored = await Database.open(path)
    assert await read_fact(restored, "a") == "1"
    await restored.close()
    assert unapplied(path, newer) == ["0098_future", "0099_loss"]


def test_only_the_bots_own_user_may_read_it(path: Path, newer: Path) -> None:
    migrate(path, newer)
    (backup,) = backups(path)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700


def test_a_new_or_up_to_date_database_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    migrate(path)
    migrate(path)
    assert backups(path) == []


def test_it_is_logged(path: Path, newer: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        migrate(path, newer)
    assert any("database_backed_up" in str(record.msg) for record in caplog.records)


def test_a_migration_that_fails_at_each_start_does_not_fill_the_disk(path: Path, newer: Path) -> None:
    (newer / "0098_future.sql").write_text("CREATE TABLE jobs (id INTEGER);\n")
    with pytest.raises(StartupError, match="failed and was rolled back"):
        migrate(path, newer)
    assert backups(path) == []


def test_the_backup_stays_if_only_a_later_migration_failed(path: Path, newer: Path) -> None:
    (newer / "0099_loss.sql").write_text("CREATE TABLE jobs (id INTEGER);\n")
    with pytest.raises(StartupError, match="failed and was rolled back"):
        migrate(path, newer)
    assert unapplied(path, newer) == ["0099_loss"]
    assert len(backups(path)) == 1


def test_without_room_for_the_backup_nothing_is_migrated(path: Path, newer: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO facts VALUES ('big', ?)", ("x" * 500_000,))
        connection.commit()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StartupError, match=r"No backup of .*bot\.sqlite3 could be made .*Make room there"):
            migrate(path, newer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert unapplied(path, newer) == ["0098_future", "0099_loss"]
    assert backups(path) == []


def test_a_folder_that_cannot_be_written_stops_the_migration(path: Path, newer: Path) -> None:
    (path.parent / "backups").write_text("a file where the folder should be")
    with pytest.raises(StartupError, match="so it was not migrated"):
        migrate(path, newer)
    assert unapplied(path, newer) == ["0098_future", "0099_loss"]


def test_a_damaged_copy_is_no_backup(path: Path, newer: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page + 2 : page + 40] = b"\xff" * 38
    path.write_bytes(bytes(data))
    with pytest.raises(StartupError, match=r"(damaged|malformed).*Restore an older backup"):
        back_up(path, "0098_future")
    assert backups(path) == []
