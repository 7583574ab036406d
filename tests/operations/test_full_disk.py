"""A disk that gets full, or is: old pictures go first, requests are refused in time, and jobs end with the truth."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.deletion_log import deletions_since
from bot.errors import StartupError, is_disk_full
from bot.jobs.admission import NO_ROOM
from bot.playground.world import World
from bot.privacy import disk_space
from bot.privacy.disk_space import DiskSpace
from bot.store import facts
from bot.store.database import Database, migrate
from bot.store.disk_reserve import RESERVE_BYTES, DiskReserve
from bot.store.faults import explained
from bot.views.errors import explain
from tests.helpers.job_worlds import PROMPT, HeldUp, all_ended, jobs, results
from tests.helpers.pictures import CHANGED, drawn
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit

FREE = 10**12


def disk_with(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def files(world: World) -> list[Path]:
    return sorted(world.env.bot.settings.image_dir.glob("*.png"), key=lambda path: path.stat().st_mtime_ns)


def space_of(world: World, **bounds: int | None) -> DiskSpace:
    settings = world.env.bot.settings
    bound: dict[str, int | None] = {"max_bytes": None, "min_free": 0} | bounds
    return DiskSpace(world.env.bot.database, settings.image_dir, settings.original_dir, **bound)  # type: ignore[arg-type]


async def test_the_oldest_posted_pictures_go_first_and_everything_else_still_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await drawn(world, steps=1)
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE jobs SET ended_at = 5").rowcount)
    await drawn(world, steps=1)
    oldest, newest = files(world)
    sizes = [path.stat().st_size for path in (oldest, newest)]
    await space_of(world, max_bytes=sizes[1] + 100).check()
    assert files(world) == [newest]
    assert deletions_since(world.env.bot.settings.data_dir, 0).dropped == {oldest.name}
    assert first.id in {message.id for message in world.channel.history()}, "the message stays"
    before = len(results(world))
    await world.member.click(first, label="Again")
    await all_ended(world)
    assert len(results(world)) == before + 1
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=oldest.stem, steps=1)
    await all_ended(world)
    assert len(results(world)) == before + 2, "the picture is read from its message"
    # On the disk alone, pictures that a backup has as well would free nothing.
    os.link(newest, newest.with_name("linked"))
    disk_with(FREE - 1, monkeypatch)
    left = len(files(world))
    await space_of(world, min_free=FREE).check()
    assert newest.exists()
    assert len(files(world)) == left - 1


async def test_requests_are_refused_before_the_disk_is_full_and_taken_when_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = world.env.bot.services.disk_space
    needed = world.env.bot.settings.min_free_bytes
    disk_with(needed // 2 - 1, monkeypatch)
    await space.check()
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.content.startswith(NO_ROOM)
    assert await jobs(world) == []
    disk_with(needed // 2 + 1, monkeypatch)
    await space.check()
    await drawn(world, steps=1)
    world.env._errors_acknowledged = len(world.env.errors)


@pytest.mark.parametrize("min_free", [0, FREE])
async def test_a_full_disk_is_noticed_however_little_was_to_stay_free(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, min_free: int
) -> None:
    """Requests are refused, and so the operator is told, at once when the database takes its last room."""
    space = DiskSpace(database, tmp_path, tmp_path, max_bytes=None, min_free=min_free)
    disk_with(2 * FREE, monkeypatch)
    await space.check()
    assert space.has_room
    database.reserve.release()
    assert not space.has_room, "the log says that no new requests are taken"
    disk_with(RESERVE_BYTES - 1, monkeypatch)
    await space.check()
    assert not space.has_room
    disk_with(2 * FREE, monkeypatch)
    await space.check()
    assert space.has_room
    disk_with(RESERVE_BYTES - 1, monkeypatch)
    await space.check()
    assert not space.has_room, "pictures need room, too, although the database still has some"


async def test_a_picture_that_finds_the_disk_full_is_refunded_with_a_true_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bot.media.files.os.fsync", full)
        await world.member.slash(world.channel, "imagine", prompt=PROMPT)
        await all_ended(world)
    rows = await jobs(world, "state, error_code")
    assert rows[0]["state"] == "failed"
    (card,) = world.channel.history()
    assert "My disk is full, so I cannot save pictures: my operator has to make room first. Nothing was" in card.content
    reserved = await world.env.bot.database.query("SELECT sum(credits) AS sum FROM ledger WHERE entry = 'settled'")
    assert not reserved[0]["sum"]
    assert list(world.env.bot.settings.image_dir.glob("*.partial")) == []


@contextmanager
def no_page_more(database: Database) -> Iterator[None]:
    """Let SQLite find its disk full at the next page that it needs."""
    connection = database._write_connection
    for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM"):
        connection.execute(statement)
    (count,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {count}")
    yield
    connection.execute("PRAGMA max_page_count = 1000000000")


async def test_the_reserve_lets_a_row_be_written_on_a_full_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.reserve.hold()
    connection = database._write_connection
    give_room = database.reserve.release

    def release() -> bool:
        connection.execute("PRAGMA max_page_count = 1000000000")  # what the room of the reserve does
        return give_room()

    monkeypatch.setattr(database.reserve, "release", release)
    await database._write_thread.run(no_page_more(database).__enter__)
    await facts.write_fact(database, "long", "x" * 100_000)
    assert await facts.read_fact(database, "long") == "x" * 100_000
    assert not give_room(), "it is used up"


async def test_without_a_reserve_the_error_is_one_of_a_full_disk_and_is_said_so(database: Database) -> None:
    await database._write_thread.run(no_page_more(database).__enter__)
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        await facts.write_fact(database, "long", "x" * 100_000)
    assert is_disk_full(caught.value)
    assert explain(caught.value).startswith("My disk is full, so I cannot do this now: my operator has to make room")


def test_no_room_for_the_index_of_the_write_ahead_log_is_a_full_disk_too(tmp_path: Path) -> None:
    path = tmp_path / "zimage.sqlite3"
    migrate(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # no file may grow
        with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("SELECT * FROM jobs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.sqlite_errorname == "SQLITE_IOERR_SHMSIZE"
    assert is_disk_full(caught.value)


@pytest.mark.parametrize("preallocates", [True, False])
def test_the_reserve_takes_real_room_and_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, preallocates: bool
) -> None:
    if not preallocates:  # macOS and Windows
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    reserve = DiskReserve(tmp_path / "reserve")
    assert reserve.hold()
    assert reserve.hold()
    found = (tmp_path / "reserve").stat()
    assert found.st_blocks * 512 >= RESERVE_BYTES
    assert found.st_mode & 0o077 == 0
    assert reserve.release()
    assert not reserve.release()


def test_a_start_that_finds_the_disk_full_says_so(tmp_path: Path) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    for error in (full, OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(StartupError, match="make room on its disk"), explained(tmp_path / "zimage.sqlite3"):
            raise error


async def test_a_job_that_not_even_its_row_can_note_says_so_and_goes_on_later(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its card must not show a progress that never goes on."""
    monkeypatch.setattr("bot.jobs.active_jobs._UNKNOWN_SECONDS", 0.0)
    device = HeldUp(Unit.DECODE)
    async with world_of(device.wrap) as world:
        database = world.env.bot.database
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(device.entered.is_set)
        await until(lambda: any(active.started for active in world.env.bot.jobs.active.values()))
        real = Database._try_transaction

        def full(self: Database, function: object) -> object:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr(Database, "_try_transaction", full)
        device.gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        await until(lambda: "My disk is full" in world.channel.history()[-1].content)
        monkeypatch.setattr(Database, "_try_transaction", real)
        await asyncio.wait([asked], timeout=5)
        await all_ended(world)
        assert [row["state"] for row in await jobs(world)] == ["delivered"]
        assert database.reserve is not None
