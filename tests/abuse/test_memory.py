"""Attacks on memory, disk and the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import discord
import numpy as np
import pytest
from PIL import Image

from bot.commands import member_downloads
from bot.commands.member_downloads import MemberDownloads
from bot.commands.submission import Edit
from bot.errors import Refusal
from bot.moderation.patterns import PATTERN_BYTES, Pattern
from bot.moderation.searched_text import SearchedText
from bot.moderation.server_filters import ServerFilters
from bot.moderation.word_filter import PATTERNS_MAX, WordFilter
from bot.playground.world import World
from bot.requests.originals import Original, OriginalFolder, keeping
from bot.requests.spec import ImageOptions
from bot.store import downloads, images, moderation, privacy
from bot.store.database import Database
from bot.store.moderation import Word
from tests.helpers.admins import admin_of, ask, told
from tests.helpers.pictures import CHANGED, newest, photo, rows
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import RawImage

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


async def test_prompts_for_the_slowest_patterns_are_searched_one_at_a_time_and_servers_take_turns(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching, most, order = 0, 0, list[str]()
    counting = threading.Lock()

    def check(self: WordFilter, prompt: str) -> None:
        nonlocal searching, most
        with counting:
            searching, most = searching + 1, max(most, searching + 1)
            order.append(prompt)
        time.sleep(0.01)
        with counting:
            searching -= 1

    monkeypatch.setattr(WordFilter, "check", check)
    for guild_id in (1, 2):
        await add_patterns(database, guild_id, ["(.{1,100}q){2}!"])
    filters = ServerFilters(database)
    await asyncio.gather(*(filters.check(1, f"a{number}") for number in range(8)), filters.check(2, "b"))
    assert most == 1
    assert order.index("b") <= 1, "the other server waits for one prompt at most"
    assert not filters._lines


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?:a?){200}a{200}!", "(.*)(.*)(.*)(.*)(.*)[^a]$", "[ab]*a[ab]{200}!"])
def test_patterns_that_take_other_engines_for_ever_take_linear_time(pattern: str) -> None:

    compiled, text = Pattern(pattern), SearchedText("a" * 6000 + "b")
    begun = time.thread_time()
    compiled.is_in(text)
    assert time.thread_time() - begun < 0.5


def noise(seed: int, side: int = 64) -> bytes:
    """Return a PNG of about 3 · side² bytes."""
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Fetches:
    """Counts the downloads of attachments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.total = self.now = self.most = 0
        self._fetch = member_downloads.fetch_attachment
        monkeypatch.setattr(member_downloads, "fetch_attachment", self.fetch)

    async def fetch(self, attachment: discord.Attachment, limit: int) -> bytes:
        self.total += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.01)
            return await self._fetch(attachment, limit)
        finally:
            self.now -= 1


def originals_in(world: World) -> list[Path]:
    return list(world.env.bot.jobs.originals.folder.glob("*.png"))


async def test_of_30_edits_at_once_only_those_that_are_admitted_are_downloaded(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of(concurrent_jobs=1, queued_jobs=1) as world:
        fetches, jobs, parts = Fetches(monkeypatch), world.env.bot.jobs, world.env.bot.parts
        files = [(f"{number}.png", noise(number)) for number in range(10)]
        attached = [await world.member.send(world.channel, "look", attachments=files) for _ in range(3)]
        jobs.pause(world.channel.guild.id)
        asked: list[Typist] = []

        async def edit(attachment: discord.Attachment) -> None:
            asked.append(typist := Typist(world))
            picture = parts.input_images.attachment(typist, attachment)
            await parts.submission.edit(typist, Edit(ImageOptions(CHANGED, steps=1)), picture)

        edits = (edit(attachment) for message in attached for attachment in message.attachments)
        await asyncio.gather(*edits)
        assert (fetches.total, fetches.most) == (2, 1)
        assert (len(jobs.active), len(originals_in(world))) == (2, 2)
        told = [text for typist in asked for text in typist.card.told]
        assert sum("I am still reading 10 pictures of yours" in text for text in told) == 20
        assert sum("You already have 1 request in the queue" in text for text in told) == 8
        jobs.resume(world.channel.guild.id)
        await until(lambda: not jobs.active)


async def test_an_edit_that_is_refused_for_certain_is_not_downloaded(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of(load=False, credits_per_day=0.01) as world:
        fetches = Fetches(monkeypatch)
        said = await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo()))
        assert said.ephemeral
        assert said.response.content.startswith("This costs at least 0.")
        assert world.env.errors
        assert (fetches.total, originals_in(world)) == (0, [])


async def test_an_edit_that_its_picture_makes_too_dear_leaves_no_file(world_of: OpenWorld) -> None:
    async with world_of(load=False, credits_per_day=0.5) as world:
        await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo()))
        assert newest(world).content.startswith("This costs ")
        assert originals_in(world) == []


async def test_an_upload_that_could_not_be_stored_leaves_no_file(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world_of(load=False) as world:
        ready = asyncio.Event()

        async def refuse(request: Any) -> None:
            assert len(originals_in(world)) == 1
            ready.set()
            raise Refusal("Somebody was faster.")

        monkeypatch.setattr(world.env.bot.jobs.admission, "insert", refuse)
        await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo()))
        assert ready.is_set()
        assert originals_in(world) == []


async def test_files_of_the_same_picture_are_removed_with_the_last_request_alone(tmp_path: Path) -> None:
    folder, original = OriginalFolder(tmp_path), Original(RawImage(2, 2, bytes(12)), bytes(4))
    async with keeping(folder, original):
        async with keeping(folder, original) as second:
            second.needed = True
        assert len(list(tmp_path.iterdir())) == 2
    assert len(list(tmp_path.iterdir())) == 2, "another request needs them"
    async with keeping(folder, original):
        pass
    assert len(list(tmp_path.iterdir())) == 2, "they were there before"
    async with keeping(folder, original):
        folder.drop([second.image, second.mask])  # by an upload that was the last to need them
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


async def test_a_request_that_is_cancelled_while_its_file_is_written_leaves_none(tmp_path: Path) -> None:
    folder, reached = OriginalFolder(tmp_path), asyncio.Event()

    async def hold() -> None:
        reached.set()
        async with keeping(folder, Original(RawImage(512, 512, bytes(512 * 512 * 3)))):
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert list(tmp_path.iterdir()) == []
    assert not folder._held


async def test_uploads_beyond_the_last_50_are_dropped_with_their_files_unless_a_job_needs_them(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, steps=1, image=("p.png", photo()))
    (used,) = [row["source"] for row in await rows(world, "SELECT json_extract(spec, '$.source') AS source FROM jobs")]

    def upload(connection: Any, number: int, original: str) -> list[str]:
        return images.keep_upload(connection, f"{number:012x}", world.member.id, original, "{}", number)

    database = world.env.bot.database
    names = [used, *(f"{number:032x}" for number in range(52))]
    dropped = [await database.write(partial(upload, number=number, original=name)) for number, name in enumerate(names)]
    assert dropped[:-2] == [[]] * 51
    assert dropped[-2:] == [[], [names[1]]], "the first is a job's original, too"


async def test_each_member_has_one_slot_and_one_place_in_the_line(database: Database) -> None:
    reading, order, release = MemberDownloads(database, 100, None), list[int](), asyncio.Event()

    async def read(member_id: int) -> None:
        async with reading.slot(member_id):
            order.append(member_id)
            await release.wait()

    flood = [asyncio.create_task(read(1)) for _ in range(10)]
    others = [asyncio.create_task(read(member_id)) for member_id in (2, 3, 4, 5)]
    await asyncio.sleep(0.01)
    assert order == [1, 2, 3, 4], "four in all, one of each"
    with pytest.raises(Refusal, match="I am still reading 10 pictures of yours"):
        reading.check_line(1)
    for task in flood[1:]:
        task.cancel()
    await asyncio.wait(flood[1:])
    reading.check_line(1)
    release.set()
    await asyncio.gather(flood[0], *others)
    assert order == [1, 2, 3, 4, 5]
    assert not reading._lines


async def test_the_bytes_of_a_day_outlast_a_restart_and_deleting_ones_data(world_of: OpenWorld) -> None:
    async with world_of(load=False, upload_mb_per_day=1) as world:
        picture = noise(1, 450)
        begun = int(time.time())
        await world.member.slash(world.channel, "details", image=("p.png", picture))  # has no parameters
        await restart(world)
        forget = partial(privacy.forget_member, member_id=world.member.id, now=begun)
        await world.env.bot.database.write(forget)
        await world.member.slash(world.channel, "details", image=("p.png", picture))
        said = newest(world).content
        assert said.startswith("That file has 0.6 MB, and you have given me 0.6 MB of the 1 MB that I read of a member")
        assert world.env.errors
        (booked,) = await rows(world, "SELECT * FROM downloads")
        assert booked["bytes"] == len(picture)
        await world.env.bot.database.write(partial(downloads.drop_old, now=begun + 23 * 3600))
        assert await rows(world, "SELECT * FROM downloads") == [booked]
        await world.env.bot.database.write(partial(downloads.drop_old, now=begun + 25 * 3600))
        assert await rows(world, "SELECT * FROM downloads") == []


async def test_a_budget_is_used_by_the_hour(database: Database) -> None:
    def book(size: int, hour: int) -> Callable[[Any], None]:
        return partial(downloads.book, member_id=1, size=size, budget=100, now=hour * 3600 + 7)

    for hour, size in ((0, 40), (1, 30), (1, 30)):
        await database.write(book(size, hour))
    with pytest.raises(downloads.OverBudget) as over:
        await database.write(book(50, 2))
    assert (over.value.used, over.value.again_at) == (100, 25 * 3600)
    with pytest.raises(downloads.OverBudget) as over:
        await database.write(book(101, 2))
    assert over.value.again_at is None
    await database.write(book(40, 24))
    await database.write(partial(downloads.book, member_id=1, size=1000, budget=None, now=24 * 3600))
