"""``zimage-bot migrate`` from an installed package, and what a migration that fails leaves behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import StartupError
from bot.store.database import MIGRATIONS, find_migrations, migrate


def broken_migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "0099_wrong.sql").write_text("CREATE TABLE jobs (id INTEGER);\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("failure", ["no migrations", "a wrong migration"])
def test_a_first_migration_that_fails_leaves_nothing(tmp_path: Path, failure: str) -> None:
    migrations = broken_migrations(tmp_path)
    if failure == "no migrations":
        shutil.rmtree(migrations)
        migrations.mkdir()
    with pytest.raises(StartupError):
        migrate(tmp_path / "new" / "data" / "zimage.sqlite3", migrations)
    assert not (tmp_path / "new").exists(), "the folders that were made are removed, too"
    kept = tmp_path / "data"
    kept.mkdir()
    with pytest.raises(StartupError):
        migrate(kept / "zimage.sqlite3", migrations)
    assert list(kept.iterdir()) == []


def test_a_later_migration_that_fails_keeps_the_database(tmp_path: Path) -> None:
    path = tmp_path / "zimage.sqlite3"
    migrate(path)
    with pytest.raises(StartupError, match="rolled back"):
        migrate(path, broken_migrations(tmp_path))
    assert migrate(path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import yoyo.backends.base
from bot.store.database import migrate
yoyo.backends.base.DatabaseBackend.apply_migrations = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
migrate(Path(sys.argv[1]))
"""
"""Dies at the moment at which migrations are applied."""


def test_a_migration_that_was_killed_is_made_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "zimage.sqlite3"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert migrate(path)
    assert [name.name for name in tmp_path.iterdir()] == [path.name]


def test_migrations_are_found_inside_the_package_and_in_a_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "bot").mkdir(parents=True)
    (checkout / "migrations").mkdir()
    assert find_migrations(checkout / "bot") == checkout / "migrations"
    (checkout / "bot" / "migrations").mkdir()
    assert find_migrations(checkout / "bot") == checkout / "bot" / "migrations"
