"""For tests of editing: pictures to edit, and readers of the channel and the database."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import discord
import numpy as np
from PIL import Image

from bot.playground.world import World
from training.reading import read
from training.scenes import Scene, draw

PROMPT = "a red circle on a blue background"
CHANGED = "a green circle on a blue background"


def photo(size: tuple[int, int] = (256, 256), colour: str = "red") -> bytes:
    scene = Scene("circle", colour, "blue")  # type: ignore[arg-type]
    buffer = BytesIO()
    draw(scene, *size, np.random.default_rng(1)).save(buffer, "PNG")
    return buffer.getvalue()


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


async def drawn(world: World, **options: Any) -> discord.Message:
    """Run ``/imagine``, with two steps unless told otherwise: few tests look at the picture.

    Returns the result's message in the channel.
    """
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=3, **({"steps": 2} | options))
    return world.channel.history()[-1]


async def rows(world: World, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await world.env.bot.database.query(sql)]


async def seen_in(message: discord.Message, index: int = 0) -> tuple[str, str, str]:
    reading = read(picture_of(await message.attachments[index].read()))
    return reading.shape, reading.colour, reading.background


def newest(world: World, viewer: Any = None) -> discord.Message:
    return world.channel.history(viewer=viewer or world.member)[-1]


def picture_of(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png)).convert("RGB")
