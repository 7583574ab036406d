"""Attacks on memory, disk and the event loop."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from bot.moderation.patterns import PATTERN_BYTES, Pattern
from bot.moderation.searched_text import SearchedText
from bot.moderation.server_filters import ServerFilters
from bot.moderation.word_filter import PATTERNS_MAX
from bot.store import moderation
from bot.store.database import Database
from bot.store.moderation import Word
from tests.helpers.admins import admin_of, ask, told
from tests.helpers.worlds import OpenWorld

HUGE = r"[\p{Lu}\p{Ll}\p{Lt}\p{Lm}\p{Lo}\p{Mn}\p{Nd}]{4700}a"
"""Took 110 MB and held up the event loop for half a second when it was compiled."""

LARGE = r"[\p{Lu}\p{Ll}]{1,5}a|%d"
"""As much as RE2 takes within its bound."""


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def longest_lag(work: Any) -> float:
    """Await ``work``; return the most seconds that the event loop was late meanwhile."""
    task, longest = asyncio.ensure_future(work), 0.0
    while not task.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - begun)
    await task
    return longest


async def add_patterns(database: Database, guild_id: int, patterns: list[str]) -> None:
    def write(connection: Any) -> None:
        for pattern in patterns:
            moderation.add_word(connection, guild_id, Word(pattern, "pattern", None))

    await database.write(write)


async def test_25_huge_patterns_of_an_admin_are_refused_and_cost_no_memory(world_of: OpenWorld) -> None:
    async with world_of() as world:
        ada = admin_of(world)
        before = resident()
        said = await told(world, ada, "admin words add", word=HUGE, pattern=True)
        assert said.content == "This pattern cannot be used: repeats go up to 1,000, and nested ones are multiplied."
        stored = [HUGE.replace("a", "b" * number + "a") for number in range(PATTERNS_MAX)]
        await add_patterns(world.env.bot.database, world.channel.guild.id, stored)  # before they were refused
        assert "cannot be checked, so I refuse every prompt here" in await ask(world)
        assert (await told(world, ada, "admin words list")).content.startswith("**25 patterns have to be replaced**")
        assert resident() - before < 20_000_000


async def test_the_largest_patterns_that_are_taken_do_not_stall_the_loop(world_of: OpenWorld) -> None:
    patterns = [LARGE % number for number in range(PATTERNS_MAX)]
    Pattern(patterns[0])
    async with world_of() as world:
        database, guild_id = world.env.bot.database, world.channel.guild.id
        await add_patterns(database, guild_id, patterns)
        before = resident()
        lag = await longest_lag(world.env.bot.jobs.admission.check_words(guild_id, "нож " * 1000))
        assert resident() - before < 3 * PATTERNS_MAX * PATTERN_BYTES
        assert lag < 0.25, "compiling all of them takes longer"


async def test_patterns_of_many_servers_are_not_kept_for_good(database: Database) -> None:
    filters = ServerFilters(database, bytes_max=3 * PATTERN_BYTES, servers_max=5)
    for guild_id in range(1, 8):
        await add_patterns(database, guild_id, ["a.b"])
        await filters.of(guild_id)
    assert len(filters) == 3
    for guild_id in range(11, 20):
        await filters.of(guild_id)  # no words: they cost nothing but their place
    assert len(filters) == 5
    await add_patterns(database, 30, [f"a.{number}" for number in range(PATTERNS_MAX)])
    assert await filters.of(30) is await filters.of(30), "the newest is kept, whatever its size"
    assert len(filters) == 1


async def test_many_requests_at_once_compile_a_servers_patterns_once(database: Database) -> None:
    await add_patterns(database, 7, ["a.b"])
    filters = ServerFilters(database)
    assert len(set(map(id, await asyncio.gather(*(filters.of(7) for _ in range(20)))))) == 1


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?:a?){200}a{200}!", "(.*)(.*)(.*)(.*)(.*)[^a]$", "[ab]*a[ab]{200}!"])
def test_patterns_that_take_other_engines_for_ever_take_linear_time(pattern: str) -> None:

    compiled, text = Pattern(pattern), SearchedText("a" * 6000 + "b")
    begun = time.thread_time()
    compiled.is_in(text)
    assert time.thread_time() - begun < 0.5
