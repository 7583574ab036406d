"""The daily task over real files and a real database."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.media.files import left_over, remove_files, write_file
from bot.privacy import housekeeping
from bot.privacy.housekeeping import Housekeeping
from bot.requests.originals import Original, OriginalFolder
from bot.requests.spec import ImageSpec
from bot.store import jobs, limits
from bot.store.accounts import DAY
from bot.store.backups import back_up
from bot.store.database import Database
from bot.store.images import delete
from tests.helpers import job_ends
from zimage_engine.types import RawImage

NOW = int(time.time())
RETENTION = 30
NO_ROW, JUST_WRITTEN = "0123456789ab", "ba9876543210.png"
LONG_AGO = NOW - 7200
SPEC = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "", "Z-Image demo")


@pytest.fixture
def keeper(database: Database, tmp_path: Path) -> Housekeeping:
    for folder in ("images", "sources"):
        (tmp_path / folder).mkdir()
    return keeping_backups(database, tmp_path, 14)


def keeping_backups(database: Database, folder: Path, days: int) -> Housekeeping:
    return Housekeeping(
        *(database, folder / "bot.sqlite3", folder / "images", folder / "sources"),
        retention_days=RETENTION,
        backup_days=days,
    )


def file(path: Path, written: float = LONG_AGO) -> Path:
    path.write_bytes(b"a picture")
    os.utime(path, (written, written))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def delivered(database: Database, event_id: int, at: int, spec: ImageSpec = SPEC) -> None:
    new = jobs.NewJob(
        event_id, 5, 9, 9, 40, "public", "imagine", spec.to_json(), 100, ((f"i{event_id}", 7),), "n", None, at
    )
    job_id = await database.write(partial(jobs.insert, new=new))
    assert job_id is not None
    for step in (
        partial(jobs.started, job_id=job_id, now=at),
        partial(
            job_ends.image_ended, job_id=job_id, position=0, state="rendered", file=f"{event_id:012}.png", device_ms=9
        ),
        partial(jobs.rendered, job_id=job_id, now=at),
        partial(jobs.delivering, job_id=job_id),
        partial(job_ends.delivered, job_id=job_id, channel_id=45, message_id=event_id, spent=100, now=at),
    ):
        await database.write(step)


async def deleted(database: Database, event_id: int, image_id: str) -> None:
    """Insert the row of an image that was deleted."""
    images = ((image_id, 7),)
    new = jobs.NewJob(event_id, 5, 9, 9, 40, "public", "imagine", SPEC.to_json(), 100, images, "n", None, NOW)
    await database.write(partial(jobs.insert, new=new))
    await database.write(lambda connection: delete(connection, image_id))


async def test_old_pictures_go_with_their_prompts_and_young_ones_stay(
    database: Database, keeper: Housekeeping, tmp_path: Path
) -> None:
    edit = ImageSpec("x", 256, 256, 7, 8, 0.0, "", "m", 0.6, "a" * 32, "b" * 32)
    await delivered(database, 1, NOW - RETENTION * DAY - 1, edit)
    await delivered(database, 2, NOW - RETENTION * DAY + 60, replace(edit, original="c" * 32))
    for number in (1, 2):
        file(tmp_path / "images" / f"{number:012}.png")
    for letter in "abc":
        file(tmp_path / "sources" / f"{letter * 32}.png")
    await keeper.clean(NOW)
    assert names(tmp_path / "images") == [f"{2:012}.png"]
    assert names(tmp_path / "sources") == [f"{'b' * 32}.png", f"{'c' * 32}.png"], "the mask is needed by the other job"
    specs = [ImageSpec.from_json(row["spec"]) for row in await database.query("SELECT spec FROM jobs ORDER BY id")]
    assert [spec.prompt for spec in specs] == ["", "x"]


async def test_what_a_crash_left_is_swept_unless_it_is_young(
    database: Database, keeper: Housekeeping, tmp_path: Path
) -> None:
    """A crash leaves no image without a row, since that is inserted first: tests/operations/test_foreign_pictures."""
    await deleted(database, 1, NO_ROW)
    await deleted(database, 2, NO_ROW + "a" * 20)
    for folder in ("images", "sources"):
        for stem in (NO_ROW, NO_ROW + "a" * 20):
            for ending in ("png", "partial", "0123abcd.partial"):
                file(tmp_path / folder / f"{stem}.{ending}")
        file(tmp_path / folder / JUST_WRITTEN, time.time())
    await keeper.clean(NOW)
    assert names(tmp_path / "images") == names(tmp_path / "sources") == [JUST_WRITTEN]


async def test_what_somebody_else_put_there_is_never_swept(keeper: Housekeeping, tmp_path: Path) -> None:
    theirs = ["holiday.jpg", "notes.txt", "holiday.png", ".gitkeep", "half.partial", f"{NO_ROW}a.png", f"{NO_ROW}.jpg"]
    for folder in ("images", "sources"):
        for name in theirs:
            file(tmp_path / folder / name)
    await keeper.clean(NOW)
    assert names(tmp_path / "images") == names(tmp_path / "sources") == sorted(theirs)


def test_the_names_that_the_bot_gives_are_those_that_are_swept(tmp_path: Path) -> None:
    name, mask = OriginalFolder(tmp_path / "sources").keep(Original(RawImage(2, 2, bytes(12)), bytes(4)))
    assert left_over(tmp_path / "sources", {f"{mask}.png"}, time.time() + 9) == [f"{name}.png"]
    assert name != mask


def test_two_may_write_the_same_source_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, original = OriginalFolder(tmp_path), Original(RawImage(2, 2, bytes(12)))
    both, fsync = threading.Barrier(2, timeout=10), os.fsync

    def together(descriptor: int) -> None:
        fsync(descriptor)
        both.wait()

    monkeypatch.setattr(os, "fsync", together)
    with ThreadPoolExecutor(2) as pool:
        kept = list(pool.map(lambda _: folder.keep(original), range(2)))
    assert kept[0] == kept[1]
    assert folder.load(*kept[0]).image == original.image
    assert len(names(tmp_path)) == 1


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a.png", b"x")
    assert names(tmp_path) == []


async def test_a_source_that_is_about_to_be_named_again_is_left_alone(keeper: Housekeeping, tmp_path: Path) -> None:
    folder = OriginalFolder(tmp_path / "sources")
    original = Original(RawImage(2, 2, bytes(12)))
    name, _ = folder.keep(original)
    os.utime(tmp_path / "sources" / f"{name}.png", (LONG_AGO, LONG_AGO))
    assert folder.keep(original) == (name, "")
    await keeper.clean(NOW)
    assert folder.load(name).image == original.image


async def test_a_file_that_cannot_be_removed_is_tried_again(
    database: Database, keeper: Housekeeping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deleted(database, 1, NO_ROW)
    stubborn = file(tmp_path / "images" / f"{NO_ROW}.png")
    real = Path.unlink

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    await keeper.clean(NOW)
    assert stubborn.exists()
    assert remove_files(tmp_path / "images", ["a.png", "b.png"]) == 2
    monkeypatch.setattr(Path, "unlink", real)
    await keeper.clean(NOW + DAY)
    assert not stubborn.exists()


async def test_what_ran_out_is_dropped(database: Database, keeper: Housekeeping) -> None:
    for target, until in ((1, NOW), (2, NOW + 1), (3, None)):
        row = limits.LimitRow("user", target, "max_count", 2, until)
        await database.write(partial(limits.write_limit, guild_id=9, row=row))
    await keeper.clean(NOW)
    left = await database.query("SELECT target_id FROM limits ORDER BY target_id")
    assert [row["target_id"] for row in left] == [2, 3]


async def test_one_chore_that_fails_stops_neither_the_others_nor_the_next_day(
    database: Database, keeper: Housekeeping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(housekeeping.privacy, "forget_old", broken)
    monkeypatch.setattr(housekeeping, "DAY", 0.01)
    file(tmp_path / "images" / f"{1:012}.png")
    keeper.start()
    await gone(tmp_path / "images" / f"{1:012}.png")
    file(tmp_path / "images" / f"{2:012}.png")
    await gone(tmp_path / "images" / f"{2:012}.png")
    await asyncio.wait_for(keeper.close(), 5)
    file(tmp_path / "images" / f"{3:012}.png")
    await asyncio.sleep(0.1)
    assert (tmp_path / "images" / f"{3:012}.png").exists(), "it has ended"
    assert await database.query("SELECT 1") != []


async def gone(path: Path) -> None:
    async with asyncio.timeout(10):
        while path.exists():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("days", "kept"), [(14, 2), (1, 1), (0, 0)])
async def test_backups_go_when_members_are_told_they_do(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, kept: int
) -> None:
    """The bot's own go; what an operator put beside them stays."""
    for age in (15 * DAY, 2 * DAY, 5):
        monkeypatch.setattr(time, "time", lambda age=age: NOW - age)
        back_up(tmp_path / "bot.sqlite3", "0004_x")
    monkeypatch.undo()
    folder = tmp_path / "backups"
    unfinished, copied = folder / "bot-before-0004_x-20200101T000000Z.sqlite3.partial", folder / "mine.sqlite3"
    for path in (unfinished, copied):
        path.write_bytes(b"")
    for path in folder.iterdir():
        os.utime(path, (NOW, NOW))
    await keeping_backups(database, tmp_path, days).clean(NOW)
    assert copied.exists()
    assert not unfinished.exists()
    assert len(names(folder)) == kept + 1
