"""The event loop's delay by commands about much: ``python -m tests.helpers.measure_lag FOLDER``.

In a process of its own, since the first chart of a process imports matplotlib. The database has 200,000 jobs, 20,000
of them of the member who exports 10,000 pictures, and deletes everything. Prints the most seconds of delay by command,
and how long another write had to wait at most, as JSON; all as :mod:`tests.helpers.lag` counts them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any

from bot.logs import configure_logging
from bot.playground.world import World, open_world
from bot.settings import Settings
from bot.store.accounts import DAY
from bot.store.database import Database
from tests.helpers.lag import longest_lag, own_seconds
from tests.helpers.many_jobs import add_files, add_jobs
from tests.helpers.worlds import new_client

OTHERS, OWN, PICTURES = 180_000, 20_000, 10_000
MEMBER, OTHER = 5, 6
_PICTURE_BYTES = 100_000


class _Discard:
    limit = 10_000_000

    async def send(self, number: int, part: bytes) -> None:
        del number, part


async def _while_others_write(database: Database, work: Awaitable[Any]) -> tuple[Any, float]:
    """Await ``work``. Returns its result and how long a write waited at most meanwhile."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        with own_seconds() as waited:
            await database.write(lambda connection: connection.execute("UPDATE facts SET value = value"))
        longest = max(longest, waited())
        await asyncio.sleep(0.01)
    return await task, longest


async def _deletion_in_discord(member_data: Any) -> int:
    return len([message async for message in member_data.posted(MEMBER)])


async def measure(world: World) -> dict[str, float]:
    bot, now = world.env.bot, int(time.time())
    await world.member.slash(world.channel, "imagine", prompt="a red circle", steps=1)
    found: dict[str, float] = {}
    _, found["first chart"] = await longest_lag(world.member.slash(world.channel, "usage"))
    assert "matplotlib" in sys.modules
    await bot.database.write(partial(add_jobs, member_id=MEMBER, first=1001, count=OWN, at=now - 1000))
    await bot.database.write(partial(add_jobs, member_id=OTHER, first=1001 + OWN, count=OTHERS, at=now - 1000))
    await asyncio.to_thread(add_files, bot.settings.data_dir, bytes(_PICTURE_BYTES), 1001, PICTURES)
    member_data, housekeeping = bot._parts.privacy._privacy, bot.services.housekeeping
    for name, work in (
        ("export", member_data.export(MEMBER, 1, _Discard())),
        ("daily task", housekeeping.clean(now)),
        ("delete", member_data.forget(MEMBER)),
        ("messages", _deletion_in_discord(member_data)),
        ("unlink", housekeeping._forget_members(now + 2 * DAY)),
    ):
        (_, waited), found[name] = await longest_lag(_while_others_write(bot.database, work))
        found[f"write during {name}"] = waited
    return found


async def main(folder: Path) -> None:
    settings = Settings.in_code(
        data_dir=folder / "data", cache_dir=folder / "cache", profile="demo", device="cpu", progress_interval=0.1
    )
    configure_logging(settings)
    client = new_client(settings)
    async with open_world(client) as world:
        await client.model_ready()
        found = await measure(world)
    print(json.dumps({name: round(seconds, 4) for name, seconds in found.items()}))  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
