"""For tests of privacy: exporting and deleting a member's data, and reading what is left."""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from bot.playground.world import World
from tests.helpers.pictures import rows

JUST_DATA = "Delete my data"
POSTED_TOO = "Delete my data and my posted pictures"


async def delete(world: World, label: str, *, who: Any = None) -> str:
    """Run ``/privacy delete`` and press the button ``label``. Returns the bot's answer."""
    who = who or world.member
    asked = await who.slash(world.channel, "privacy delete")
    assert asked.ephemeral
    await who.click(asked.response, label=label)
    return told(world, asked.response.id, who)


def told(world: World, message_id: int, who: Any = None) -> str:
    shown = {message.id: message.content for message in world.channel.history(viewer=who or world.member)}
    return str(shown[message_id])


def all_text(world: World) -> str:
    """Return the contents of all tables, as SQL."""
    path = world.env.bot.settings.database_path
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


async def of_member(world: World, member: Any) -> list[dict[str, Any]]:
    found = await rows(world, "SELECT * FROM jobs JOIN images ON job_id = jobs.id")
    return [row for row in found if row["owner_id"] == member.id]


def files_in(world: World, folder: str) -> list[Path]:
    return sorted((world.env.bot.settings.data_dir / folder).glob("[!.]*"))


def another_member(world: World, name: str = "noa") -> Any:
    return world.channel.guild.add_member(world.env.create_user(name))


async def exported(world: World, **options: Any) -> tuple[list[bytes], str]:
    """Run ``/privacy export``. Returns the ZIPs that are sent in the channel, and the text of the last message."""
    before = {message.id for message in world.channel.history(viewer=world.member)}
    answered = await world.member.slash(world.channel, "privacy export", **options)
    assert answered.ephemeral
    new = [message for message in world.channel.history(viewer=world.member) if message.id not in before]
    parts = [await file.read() for message in new for file in message.attachments]
    return parts, new[-1].content


def zip_contents(parts: list[bytes]) -> dict[str, bytes]:
    """Return the files in the ZIPs of an export, by name."""
    found: dict[str, bytes] = {}
    for part in parts:
        with zipfile.ZipFile(BytesIO(part)) as opened:
            assert opened.testzip() is None
            found |= {name: opened.read(name) for name in opened.namelist()}
    return found
