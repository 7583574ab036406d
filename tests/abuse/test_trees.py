"""``/tree`` of a large family: what it opens, at once and in all, and what it hands out."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.commands import input_images
from bot.media.family_layout import MAX_RELATIVES
from bot.playground.world import World
from bot.store import images
from bot.store.accounts import DAY
from tests.helpers.pictures import drawn, rows
from tests.helpers.privacy import JUST_DATA, delete, files_in

FAMILY = 120
"""As many as are shown three times over; the most that are looked for are 200."""


def add_children(connection: sqlite3.Connection, count: int) -> None:
    """Add jobs of one picture each that was made from the first picture, and that nobody has seen yet."""
    connection.execute("CREATE TEMP TABLE child_job AS SELECT * FROM jobs")
    connection.execute("CREATE TEMP TABLE child AS SELECT * FROM images")
    (parent,) = connection.execute("SELECT id FROM images").fetchone()
    for number in range(2, count + 2):
        image_id = f"{number:012x}"
        connection.execute(
            "UPDATE child_job SET id = ?, source_id = ?, result_message_id = ?, parent_image_id = ?",
            (number, -number, number, parent),
        )
        connection.execute(
            "UPDATE child SET id = ?, job_id = ?, file = ?, seen_at = NULL", (image_id, number, f"{image_id}.png")
        )
        connection.execute("INSERT INTO jobs SELECT * FROM child_job")
        connection.execute("INSERT INTO images SELECT * FROM child")


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count the PNG files that are read or opened, and how many threads make a thumbnail at the same time at most."""
    found = {"opened": 0, "now": 0, "at_once": 0}
    open_image, read_bytes, add_thumbnail = Image.open, Path.read_bytes, input_images.add_thumbnail

    def opened(source: Any, *args: Any, **options: Any) -> Any:
        found["opened"] += str(source).endswith(".png")
        return open_image(source, *args, **options)

    def read(path: Path) -> bytes:
        found["opened"] += path.suffix == ".png"
        return read_bytes(path)

    def added(path: Path) -> bytes:
        found["now"] += 1
        found["at_once"] = max(found["at_once"], found["now"])
        made = add_thumbnail(path)
        found["now"] -= 1
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", opened)
        patch.setattr(Path, "read_bytes", read)
        patch.setattr(input_images, "add_thumbnail", added)
        yield found


async def test_a_tree_of_many_pictures_opens_those_it_shows_one_at_a_time_and_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drawn(world, steps=1)
    bot = world.env.bot
    await bot.database.write(lambda connection: add_children(connection, FAMILY - 1))
    folder = bot.settings.image_dir
    (first,) = folder.glob("*.png")
    for number in range(2, FAMILY + 1):
        os.link(first, folder / f"{number:012x}.png")
    with counting(monkeypatch) as found:
        answered = await world.member.slash(world.channel, "tree", source=first.stem)
        assert answered.response.attachments
    assert found["opened"] == MAX_RELATIVES - 1, "a thumbnail of the first one was kept when it was generated"
    (seen,) = await rows(world, "SELECT count(seen_at) AS count FROM images")
    assert seen["count"] == MAX_RELATIVES, "what is not shown is not handed out"
    assert len(files_in(world, "thumbnails")) == MAX_RELATIVES
    await world.env.advance_time(3)
    with counting(monkeypatch) as found:
        answered = await world.member.slash(world.channel, "tree", source=first.stem)
        assert answered.response.attachments
    assert found["opened"] == 0
    family = await images.family(bot.database, first.stem)
    with counting(monkeypatch) as found:
        assert all(await asyncio.gather(*map(bot._parts.input_images.thumbnail_of, family)))
    assert found == {"opened": FAMILY - MAX_RELATIVES, "now": 0, "at_once": 1}


async def test_a_thumbnail_goes_with_its_picture_by_whatever_way(world: World) -> None:
    await drawn(world, count=2, steps=1)
    result = await drawn(world, steps=1)
    assert len(files_in(world, "thumbnails")) == 3
    asked = await world.member.slash(world.channel, "tree", source=result.jump_url)
    await world.member.click(asked.response, label="Delete")
    await world.member.click(world.channel.history(viewer=world.member)[-1], label="Delete this picture")
    assert len(files_in(world, "thumbnails")) == 2, "one picture"
    await delete(world, JUST_DATA)
    assert files_in(world, "thumbnails") == [], "all of a member"
    await drawn(world, steps=1)
    (name,) = files_in(world, "thumbnails")
    await world.env.bot.services.housekeeping.clean(int(time.time()) + 40 * DAY)
    assert not name.exists(), "what is too old"
