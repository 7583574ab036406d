"""How fast a command is answered while the engine draws: the whole bot, over sockets, on a Discord of this machine."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.rows import Row
from bot.app import create_client
from bot.settings import Settings
from tests.helpers.loopback import TOKEN, Loopback, open_loopback

if TYPE_CHECKING:
    from bot.client import ZImageBot

_ASKED = 40
_PAUSE = 0.1
_OPEN_JOBS = 6


async def answers(rounds: int) -> list[Row]:
    """The 99th percentile of the time from ``/quota`` to its answer, with the engine idle and saturated."""
    async with _online() as (client, discord):
        idle = await _quota_times(discord, _ASKED * rounds)
        feeder = asyncio.create_task(_saturate(client, discord))
        await _until_drawing(client)
        busy = await _quota_times(discord, _ASKED * rounds)
        drawn = client.jobs.under_way
        feeder.cancel()
        await asyncio.wait([feeder])
    assert drawn, "the engine ran dry, so nothing was measured"
    floor = _percentile(idle) * 1000
    return [
        Row(f"/quota answered, p99 (idle {floor:.0f} ms)", _percentile(busy) * 1000, "ms", 150.0),
    ]


@asynccontextmanager
async def _online() -> AsyncIterator[tuple[ZImageBot, Loopback]]:
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory(prefix="zimage-bench-") as folder:
        settings = Settings.in_code(
            data_dir=Path(folder),
            profile="demo",
            device="cpu",
            concurrent_jobs="unlimited",
            queued_jobs="unlimited",
            credits_per_day="unlimited",
        )
        try:
            async with open_loopback(patch) as discord:
                client = create_client(settings)
                running = asyncio.create_task(client.start(TOKEN))
                try:
                    await client.model_ready()
                    await client.wait_until_ready()
                    yield client, discord
                finally:
                    await client.close()
                    await running
        finally:
            patch.undo()


async def _saturate(client: ZImageBot, discord: Loopback) -> None:
    """Keep more open than the engine draws at a time."""
    number = 0
    while True:
        if client.jobs.under_way < _OPEN_JOBS:
            number += 1
            await discord.command("imagine", prompt=f"a red circle number {number}", count=4, steps=8)
        await asyncio.sleep(0.02)


async def _until_drawing(client: ZImageBot) -> None:
    while client.jobs.under_way < _OPEN_JOBS:  # noqa: ASYNC110 - polled from outside, as a member would look
        await asyncio.sleep(0.02)


async def _quota_times(discord: Loopback, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        token = await discord.command("quota")
        number = token.removeprefix("token-")
        while not discord.made("POST", f"interactions/{number}/.*"):  # noqa: ASYNC110 - the answer comes by socket
            await asyncio.sleep(0.001)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(_PAUSE)
    return times


def _percentile(times: list[float], share: float = 0.99) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
