"""The real process, stopped by signals in the middle of its work, and started again."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.e2e.process import BotProcess
from tests.helpers.loopback import CHANNEL, Fault, Loopback
from tests.helpers.waiting import until

pytestmark = pytest.mark.system

KEPT = "Your request is saved and starts when I'm back."
JOBS = 2


def rows(bot: BotProcess) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(bot.database)) as database:
        return database.execute("SELECT state, attempts FROM jobs ORDER BY id").fetchall()


def results(discord: Loopback) -> int:
    """Return the number of messages that hold a result; a card shows previews under another name."""
    return sum(
        all(attachment.filename.startswith("zimage-") for attachment in message.attachments)
        for message in discord.seen(CHANNEL)
        if message.attachments
    )


@asynccontextmanager
async def drawing(folder: Path) -> AsyncIterator[tuple[BotProcess, Loopback]]:
    """Run the bot with pictures to draw, one of them on the device."""
    discord = Loopback()
    await discord.start()
    bot = BotProcess(discord, folder)
    try:
        await bot.start()
        for number in range(JOBS):
            await discord.command("imagine", prompt=f"a red circle {number}", count=4)
        await until(lambda: any(state == "running" for state, _ in rows(bot)))
        yield bot, discord
    finally:
        bot.kill()
        await bot.ended()
        await discord.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_process_in_ten_seconds_and_loses_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with drawing(tmp_path) as (bot, discord):
        began = time.monotonic()
        bot.send(number)
        assert await bot.ended() == 0
        assert time.monotonic() - began < 10
        assert {row for row in rows(bot) if row[0] != "delivered"} == {("queued", 0)}
        left = sum(state == "queued" for state, _ in rows(bot))
        assert sum(KEPT in message.content for message in discord.seen(CHANNEL)) == left > 0
        await bot.start()
        await until(lambda: results(discord) == len(discord.seen(CHANNEL)) == JOBS, 90)


async def test_a_second_signal_ends_it_at_once_and_loses_nothing(tmp_path: Path) -> None:
    async with drawing(tmp_path) as (bot, discord):
        # Stopping waits for the last edits of cards, and would end with status 0.
        discord.faults.add(Fault("PATCH", ".*", times=None, seconds=5.0))
        bot.send(signal.SIGINT)
        await until(lambda: "jobs_kept" in bot.log)
        bot.send(signal.SIGTERM)
        began = time.monotonic()
        assert await bot.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - began < 4, "the edit that it would wait for takes five seconds"
        assert {attempts for _, attempts in rows(bot)} == {0}
        discord.faults.clear()
        await bot.start()
        await until(lambda: results(discord) == len(discord.seen(CHANNEL)) == JOBS, 90)
        assert {attempts for _, attempts in rows(bot)} == {0}
