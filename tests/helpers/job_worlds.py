"""What tests of jobs ask of a world: rows, results, and a device that is held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bot.playground.world import World
from tests.helpers.faults import Faulty
from tests.helpers.worlds import new_client
from zimage_engine.device.worker import Worker
from zimage_engine.types import Unit

PROMPT = "a red circle on a blue background"


async def jobs(world: World, columns: str = "state, attempts") -> list[dict[str, Any]]:
    rows = await world.env.bot.database.query(f"SELECT {columns} FROM jobs ORDER BY id")  # noqa: S608
    return [dict(row) for row in rows]


async def change(world: World, sql: str, *parameters: object) -> None:
    await world.env.bot.database.write(lambda connection: connection.execute(sql, parameters).rowcount)


async def all_ended(world: World) -> None:
    """Wait until nothing is open and every card has ended."""
    for _ in range(600):
        left = await world.env.bot.database.query("SELECT 1 FROM jobs WHERE ended_at IS NULL OR due_at IS NOT NULL")
        if not left:
            return
        await world.env.bot.jobs.deliveries.check()
        await asyncio.sleep(0.05)
    raise AssertionError(await jobs(world, "*"))


def results(world: World) -> list[Any]:
    return [message for message in world.channel.history() if message.attachments]


class HeldUp:
    """A device that waits at one unit until it is let go on."""

    def __init__(self, unit: Unit = Unit.DENOISE) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()
        self.wrap: Callable[[Worker], Faulty] = partial(Faulty, unit=unit, gate=self.gate, entered=self.entered)


async def start_again(world: World) -> None:
    await world.env.restart_bot(new_client(world.env.bot.settings))
    await world.env.bot.model_ready()


async def rendered_and_kept(world: World, count: int, prompt: str = PROMPT) -> list[Path]:
    """Render a job whose result is not delivered before the loop is started. Returns its pictures' files."""
    world.env.bot.jobs.deliveries._started = False
    await world.member.slash(world.channel, "imagine", prompt=prompt, count=count)
    rows = await world.env.bot.database.query("SELECT file FROM images ORDER BY position")
    return [world.env.bot.settings.image_dir / row["file"] for row in rows]
