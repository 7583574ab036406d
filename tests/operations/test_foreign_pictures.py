"""A database that is not the pictures' own: new, older or on the wrong disk. No picture is deleted for that."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from functools import partial
from pathlib import Path

import pytest

from bot.media.files import write_file
from bot.privacy.housekeeping import Housekeeping
from bot.privacy.store_check import check_store
from bot.requests.spec import ImageSpec
from bot.store import job_rows, jobs
from bot.store.accounts import DAY
from bot.store.backups import back_up
from bot.store.database import Database
from tests.helpers import job_ends
from tests.helpers.databases import add_database

NOW = int(time.time())
LONG_AGO = NOW - 7200
ORIGINAL = "a" * 32


class Store:
    """A data folder with its database, in which housekeeping runs as at a start of the bot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folders = (folder / "images", folder / "sources")
        self.path = folder / "zimage.sqlite3"

    async def open(self) -> Database:
        add_database(self.path)
        return await Database.open(self.path)

    async def start(self, now: int = NOW) -> int:
        """Do what a start does. Returns how many pictures were set aside."""
        database = await self.open()
        moved = await check_store(database, self.folders)
        keeper = Housekeeping(database, self.path, *self.folders, retention_days=30, backup_days=14)
        await keeper.clean(now)
        await database.close()
        return moved

    async def draw(self, *image_ids: str) -> None:
        """Deliver an edit for each image, with its files, which are hours old."""
        database = await self.open()
        await check_store(database, self.folders)
        for event_id, image_id in enumerate(image_ids, int(time.time_ns())):
            spec = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "", "m", 0.6, ORIGINAL).to_json()
            images = ((image_id, 7),)
            new = jobs.NewJob(event_id, 5, 9, 9, 40, "public", "edit", spec, 100, images, "n", None, LONG_AGO)
            job_id = await database.write(partial(jobs.insert, new=new))
            assert job_id is not None
            await database.write(partial(_deliver, job_id=job_id, file=f"{image_id}.png"))
            self.file(f"images/{image_id}.png")
        self.file(f"sources/{ORIGINAL}.png")
        await database.close()

    def file(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        write_file(path, b"a picture")
        os.utime(path, (LONG_AGO, LONG_AGO))
        return path

    def pictures(self) -> list[str]:
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*.png"))
        return sorted(map(str, found))

    def lose_database(self) -> None:
        for path in self.folder.glob("zimage.sqlite3*"):
            path.unlink()


def _deliver(connection: sqlite3.Connection, job_id: int, file: str) -> None:
    jobs.started(connection, job_id, LONG_AGO)
    job_ends.image_ended(connection, job_id, 0, "rendered", file, 9)
    jobs.rendered(connection, job_id, LONG_AGO)
    jobs.delivering(connection, job_id)
    job_ends.delivered(connection, job_id, 40, job_id, 100, LONG_AGO)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


IDS = tuple(f"{number:012x}" for number in range(1, 5))
OWN = sorted([*(f"images/{name}.png" for name in IDS), f"sources/{ORIGINAL}.png"])
ASIDE = sorted([*(f"images/quarantine/{name}.png" for name in IDS), f"sources/quarantine/{ORIGINAL}.png"])


async def test_a_lost_database_costs_no_picture(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await store.draw(*IDS)
    store.lose_database()
    with caplog.at_level(logging.ERROR):
        assert await store.start() == 5
    assert store.pictures() == ASIDE
    assert sum("pictures_set_aside" in str(record.msg) for record in caplog.records) == 1
    assert await store.start() == 0, "it is said once"
    assert store.pictures() == ASIDE


async def test_a_lost_database_of_a_version_without_store_ids_costs_no_picture(store: Store) -> None:
    await store.draw(*IDS)
    store.lose_database()
    for mark in store.folder.rglob(".store-id"):
        mark.unlink()
    await store.start()
    assert store.pictures() == ASIDE


async def test_an_older_database_costs_no_picture_that_is_newer(store: Store) -> None:
    await store.draw(IDS[0])
    older = back_up(store.path, "x")
    await store.draw(*IDS[1:])
    store.lose_database()
    shutil.copy(older, store.path)
    await store.start()
    assert store.pictures() == sorted(
        [f"images/{IDS[0]}.png", *(f"images/quarantine/{name}.png" for name in IDS[1:]), f"sources/{ORIGINAL}.png"]
    )


async def test_the_right_database_takes_its_pictures_back(store: Store, tmp_path: Path) -> None:
    await store.draw(*IDS)
    shutil.move(store.path, tmp_path / "right")
    store.lose_database()
    assert await store.start() == 5
    store.lose_database()
    shutil.move(tmp_path / "right", store.path)
    await store.start()
    assert store.pictures() == OWN


async def test_what_is_set_aside_is_kept_as_long_as_pictures_are(store: Store) -> None:
    await store.draw(*IDS)
    store.lose_database()
    await store.start()
    await store.start(NOW + 29 * DAY)
    assert store.pictures() == ASIDE
    await store.start(NOW + 31 * DAY)
    assert store.pictures() == []


async def test_an_upgrade_and_a_wiped_folder_set_nothing_aside(store: Store) -> None:
    await store.draw(*IDS)
    for mark in store.folder.rglob(".store-id"):
        mark.unlink()
    assert await store.start() == 0
    assert store.pictures() == OWN
    shutil.rmtree(store.folder / "images")
    assert await store.start() == 0


async def test_buttons_under_older_messages_never_name_jobs_of_the_new_database(store: Store) -> None:
    await store.draw(*IDS)
    store.lose_database()
    await store.start()
    await store.draw("f" * 12)
    database = await store.open()
    rows = await database.query("SELECT id FROM jobs")
    assert rows[0]["id"] > 4
    row = await database.read(partial(job_rows.find, job_id=rows[0]["id"]))
    assert row is not None
    assert [image.position for image in row.images] == [0]
    await database.close()
