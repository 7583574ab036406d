"""The SQLite file: migrations and transactions."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from bot.errors import Restarting, StartupError
from bot.store import ledger
from bot.store.database import MIGRATIONS, Database, migrate
from bot.store.facts import read_fact, write_fact
from tests.helpers.databases import add_database


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_migrating_a_fresh_file_and_again(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    assert migrate(path) == [
        "0001_jobs",
        "0002_editing",
        "0003_limits",
        "0004_durable_jobs",
        "0005_drafts",
        "0006_lost_requests",
        "0007_cancel_causes",
        "0008_seen_pictures",
        "0009_removed_places",
        "0010_downloads",
        "0012_bounded_deletions",
        "0014_indexes_by_age",
        "0015_model_rules",
    ]
    assert {"jobs", "images", "ledger", "facts"} <= tables(path)
    assert migrate(path) == []


def test_migrating_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(tmp_path / "bot.sqlite3")
    assert capsys.readouterr().out == ""


def test_a_migration_that_fails_is_rolled_back_whole(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    path = tmp_path / "bot.sqlite3"
    migrate(path, folder)
    (folder / "0002_half.sql").write_text("CREATE TABLE half (id INTEGER);\nCREATE TABLE jobs (id INTEGER);\n")
    with pytest.raises(StartupError, match="failed and was rolled back"):
        migrate(path, folder)
    assert "half" not in tables(path)
    (folder / "0002_half.sql").write_text("CREATE TABLE half (id INTEGER);\n")
    assert migrate(path, folder) == ["0002_half"]


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "0099_future.sql").write_text("CREATE TABLE future (id INTEGER);\n")
    migrate(tmp_path / "bot.sqlite3", newer)
    with pytest.raises(StartupError, match="written by a newer zimage-bot"):
        migrate(tmp_path / "bot.sqlite3")


def test_what_was_used_before_there_were_limits_still_counts(tmp_path: Path) -> None:
    """Rows of a ledger from before the third migration get accounts, and the sums by day are computed from them."""
    folder, path = tmp_path / "migrations", tmp_path / "bot.sqlite3"
    folder.mkdir()
    for name in ("0001_jobs.sql", "0002_editing.sql"):
        shutil.copy(MIGRATIONS / name, folder)
    migrate(path, folder)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO jobs (source_id, owner_id, scope_id, channel_id, visibility, kind, spec, count, credits,"
            " nonce, created_at, state) VALUES (1, 5, 6, 7, 'public', 'edit', '{}', 1, 100, 'n', 86000, 'delivered')"
        )
        connection.execute("INSERT INTO images (id, job_id, position, seed, state) VALUES ('a', 1, 0, 0, 'rendered')")
        for entry, at in (("reserved", 86000), ("settled", 86500)):
            connection.execute(
                "INSERT INTO ledger (job_id, owner_id, scope_id, channel_id, entry, credits, at)"
                " VALUES (1, 5, 6, 7, ?, 100, ?)",
                (entry, at),
            )
    connection.close()
    assert migrate(path)[0] == "0003_limits"
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        assert ledger.used(connection, member_id=5, scope_id=6, now=86600) == 100
        assert [tuple(row) for row in connection.execute("SELECT * FROM usage_days")] == [
            (6, 1, 1, 7, "edit", 1, 1, 100, 0)
        ]
        for change in ("DELETE FROM ledger", "UPDATE ledger SET credits = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)
    connection.close()


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await database.write(half)
    assert await read_fact(database, "a") is None
    await write_fact(database, "a", "2")
    assert await read_fact(database, "a") == "2"


async def test_a_closed_database_says_that_the_program_is_restarting(tmp_path: Path) -> None:
    database = await Database.open(add_database(tmp_path / "bot.sqlite3"))
    await database.close()
    for call in (
        database.query("SELECT 1"),
        database.read(lambda c: c.execute("SELECT 1")),
        database.write(lambda c: c.execute("SELECT 1")),
    ):
        with pytest.raises(Restarting, match="please ask again in a minute"):
            await call
