"""Shared by the tests of the store: a connection to write with, outside the bot's threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.store.database import _connect
from tests.helpers.databases import add_database


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection as the bot opens it, to a database without rows."""
    with closing(_connect(add_database(tmp_path / "bot.sqlite3"))) as connection:
        yield connection
