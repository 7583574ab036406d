"""For tests of ``/usage`` and ``/admin usage``: rows of usage, and readers of the answers."""

from __future__ import annotations

import csv
import re
import sqlite3
import time
from collections.abc import Iterable
from functools import partial
from io import BytesIO, StringIO
from typing import Any

import discord
from PIL import Image

from bot.playground.world import World
from bot.store.accounts import DAY, account_of

UsageRow = tuple[int, int, int, int, str, int, int, int, int]
"""Scope, days ago, member, channel, kind, jobs, images, credits, device milliseconds."""


def _write_rows(connection: sqlite3.Connection, rows: Iterable[UsageRow]) -> None:
    today = int(time.time()) // DAY
    for scope, ago, member, *rest in rows:
        account = account_of(connection, member)
        connection.execute(
            "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (scope, today - ago, account, *rest)
        )


async def add_usage(world: World, *rows: UsageRow) -> None:
    """Store rows of usage."""
    await world.env.bot.database.write(partial(_write_rows, rows=rows))


async def usage_answer(world: World, who: Any, command: str, channel: Any = None, **options: Any) -> discord.Message:
    """Run a slash command, whose answer only ``who`` may see. Returns the answer."""
    channel = channel or world.channel
    await world.env.advance_time(3)  # charts have a pause
    await who.slash(channel, command, **options)
    message = channel.history(viewer=who)[-1]
    assert message.flags.ephemeral
    assert not message.embeds
    return message


def usage_figures(message: discord.Message) -> dict[str, list[str]]:
    """Return the answer's table: figures by the member, channel, kind or day of their row."""
    lines = [re.fullmatch(r"`(.+?)` (.+)", line) for line in message.content.splitlines()]
    rows = {line[2]: re.split("\u00a0{2,}", line[1].strip()) for line in lines if line}
    return {name: [figure.replace("\u00a0", " ") for figure in row] for name, row in rows.items()}


async def usage_chart(message: discord.Message) -> Image.Image:
    """Return the chart under an answer."""
    picture = Image.open(BytesIO(await message.attachments[0].read()))
    assert picture.format == "PNG"
    assert message.attachments[0].filename == "usage.png"
    assert message.attachments[0].description
    return picture


async def usage_sheet(message: discord.Message) -> list[dict[str, str]]:
    """Return the rows of the exported CSV file."""
    data = await message.attachments[1].read()
    return list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline="")))
