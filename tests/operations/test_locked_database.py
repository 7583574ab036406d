"""A database that another program holds locked: members and the operator are told so, and nothing typed is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.errors import ExitStatus, StartupError, TemporaryFault
from bot.playground.world import World
from bot.store.database import Database, migrate
from bot.store.faults import explained
from bot.store.full_backups import DATABASE, make_backup
from bot.views.errors import DATABASE_BUSY
from tests.helpers.buttons import button_labels
from tests.helpers.job_worlds import PROMPT, all_ended, jobs


@contextmanager
def locked(path: Path, mode: str = "IMMEDIATE") -> Iterator[None]:
    """Hold a database locked in another connection, as a database browser with unsaved changes does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {mode}")
        yield
        other.execute("ROLLBACK")


async def wait_no_longer(database: Database) -> None:
    """Give up at once instead of after five seconds."""
    connection = database._write_connection
    await database._write_thread.run(lambda: connection.execute("PRAGMA busy_timeout = 20"))


async def test_a_request_is_given_back_with_the_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    database = world.env.bot.database
    await wait_no_longer(database)
    with locked(world.env.bot.settings.database_path):
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
        (told,) = world.channel.history(viewer=world.member)
    assert told.content.startswith(DATABASE_BUSY)
    assert PROMPT in told.content
    assert button_labels(told) == ["Edit request"]
    assert world.env.errors is not None
    assert await jobs(world) == []
    assert "Traceback" not in caplog.text
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    await all_ended(world)
    assert [row["state"] for row in await jobs(world)] == ["delivered"]


def test_the_operator_is_not_sent_to_look_for_rights_or_room(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # in which a lock keeps readers out, too
    with locked(path, "EXCLUSIVE"):
        with pytest.raises(TemporaryFault, match="is locked by another program") as caught, explained(path):
            sqlite3.connect(path, timeout=0.01).execute("SELECT * FROM jobs")
        assert caught.value.exit_status is ExitStatus.TEMPORARY
        with pytest.MonkeyPatch.context() as patch:
            connect = sqlite3.connect
            patch.setattr("bot.store.backups.sqlite3.connect", lambda name: connect(name, timeout=0.01))
            with pytest.raises(StartupError, match=r"No backup could be made, .* is locked by another program"):
                make_backup(tmp_path, tmp_path / "backups")
