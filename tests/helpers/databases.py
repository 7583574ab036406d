"""Databases for tests: migrated once per process and copied after that."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.store.database import migrate


def add_database(path: Path) -> Path:
    """Put a migrated database without rows at ``path`` unless there is a file already; returns the path."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    return path


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite3"
        migrate(path)
        return path.read_bytes()
