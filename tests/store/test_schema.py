"""``migrations/schema.sql`` equals the schema that the migrations create, and is not applied as a migration."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.store.database import migrate, unapplied
from bot.store.schema import SCHEMA, schema


def test_the_schema_file_is_what_the_migrations_make() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "run python -m bot.store.schema"


def test_the_schema_file_is_no_migration_and_makes_the_same_tables(tmp_path: Path) -> None:
    assert SCHEMA.stem not in unapplied(tmp_path / "new.sqlite3")
    assert SCHEMA.stem not in migrate(tmp_path / "migrated.sqlite3")
    with closing(sqlite3.connect(tmp_path / "read.sqlite3")) as connection:
        connection.executescript(SCHEMA.read_text(encoding="utf-8"))
        assert {row[0] for row in connection.execute("SELECT name FROM sqlite_master")} >= {"jobs", "images", "ledger"}
