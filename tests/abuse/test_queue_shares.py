"""Attacks on the one queue: a member, or the admin of a stranger's server, takes all of its places."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.jobs.job import Job, JobRequest
from bot.jobs.service import JobService
from bot.playground.world import World
from bot.requests.spec import ImageOptions, build_spec
from bot.settings import Settings
from bot.store.admission import Terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE, PAUSED, write_setting
from bot.store.limits import Requester
from bot.store.not_admitted import OverCeiling, OverShare
from bot.store.queue_places import QueuePlaces, QueueShares, count_places
from tests.helpers import admitting
from tests.helpers.admins import admin_of, another_server, told
from tests.helpers.cards import NoOutbox, show_card
from tests.helpers.no_limits import NO_LIMITS
from tests.helpers.pictures import PROMPT, rows
from tests.helpers.worlds import OpenWorld
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.weights import complete_profile

PROFILE = complete_profile(find_profile("demo"))
LENGTH = 200
SHARES = QueueShares(Settings.in_code().queue_share_per_user, Settings.in_code().queue_share_per_server)
TERMS = Terms(NO_LIMITS, NO_LIMITS, queue_length=LENGTH, queue_shares=SHARES, user_install=True)
FULL_FOR_MEMBER = (
    "You have {} of the {} places in my queue, across all servers and DMs, and one person may have no more of them "
    "now. Ask again when one of your requests is done, or cancel one."
)
EVENTS = itertools.count(1)


class Queue:
    """A queue alone, without its jobs. ``server`` 0 is a direct message."""

    def __init__(self, length: int, shares: QueueShares) -> None:
        self.length, self.shares = length, shares
        self.taken: list[tuple[int, int]] = []

    def ask(self, member: int, server: int) -> bool:
        """Ask for a place. Returns whether there is one."""
        if len(self.taken) >= self.length:
            return False
        places = QueuePlaces(len(self.taken), self.of_member(member), self.of_server(server))
        if self.shares.exceeded_by(places, self.length, direct=not server) is not None:
            return False
        self.taken.append((member, server))
        return True

    def fill(self, member: int, server: int) -> int:
        """Take places until there is none. Returns how many were taken."""
        before = len(self.taken)
        while self.ask(member, server):
            pass
        return len(self.taken) - before

    def of_member(self, member: int) -> int:
        return sum(each == member for each, _ in self.taken)

    def of_server(self, server: int) -> int:
        return sum(each == server for _, each in self.taken) if server else 0


parts = st.sampled_from((0.01, 0.1, 0.25, 0.5))
asked = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3)), max_size=80)


@given(length=st.integers(1, 60), member=parts, server=parts, asked=asked)
@settings(max_examples=150, deadline=None)
def test_no_member_and_no_server_gets_more_than_its_share_whatever_is_asked(
    length: int, member: float, server: float, asked: list[tuple[int, int]]
) -> None:
    queue = Queue(length, QueueShares(member, server))
    for who, where in asked:
        queue.ask(who, where)
    assert len(queue.taken) <= length
    for who, where in asked:
        assert queue.of_member(who) <= max(1, int(member * length))
        assert queue.of_server(where) <= max(1, (length + 1) // 2)


@given(length=st.integers(2, 300), member=parts, server=parts, here=st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_neither_one_member_nor_one_server_shuts_a_stranger_out(
    length: int, member: float, server: float, here: int
) -> None:
    alone = Queue(length, QueueShares(member, server))
    for place in range(4):  # a member with servers of their own, and direct messages
        alone.fill(1, place)
    assert alone.ask(2, 9)
    crowd = Queue(length, QueueShares(member, server))
    for who in range(here):  # a server with any number of members
        crowd.fill(who + 1, 1)
    assert crowd.ask(1001, 2)
    assert length < 4 or crowd.ask(1002, 0)


def test_the_arithmetic_of_the_documentation() -> None:
    alone = Queue(LENGTH, SHARES)
    assert [alone.fill(member, 0) for member in range(1, 5)] == [50, 37, 28, 21]
    busy = Queue(LENGTH, SHARES)
    assert [sum(busy.fill(100 * server + one, server) for one in range(20)) for server in range(1, 5)] == [
        *(100, 25, 18, 14),
    ]
    servers = 4
    while busy.ask(9999 + servers, 0):
        busy.taken.pop()
        servers += 1
        for one in range(20):
            busy.fill(100 * servers + one, servers)
    assert servers == 18


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> JobService:
    engine = Engine(EngineConfig(PROFILE, "cpu"))  # accepts requests but is never started
    service = JobService(database, engine, NoOutbox(), tmp_path / "images", TERMS)
    await service.start()
    service.pause(INSTANCE)  # jobs are admitted and wait; nothing reaches the engine
    return service


def request(member: int, server: int, *, installed: bool = False) -> JobRequest:
    spec, count = build_spec(ImageOptions("a red circle"), PROFILE, max_count=4)
    requester = Requester(member, 0 if installed else server, server or None)
    return JobRequest(next(EVENTS), spec, count, requester, 7, "public", None)


async def taken(service: JobService, *requests: JobRequest) -> tuple[int, set[str]]:
    """Submit requests at once. Returns how many are admitted, and what the others are told."""
    results = await asyncio.gather(*(service.run(each, show_card) for each in requests), return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, Refusal)]
    assert sum(isinstance(result, Job) for result in results) + len(refused) == len(requests), results
    return len(requests) - len(refused), set(refused)


async def test_200_commands_of_one_member_take_a_quarter_of_the_queue_and_a_stranger_gets_in(
    service: JobService, database: Database
) -> None:
    own = [request(1, 100 + number % 3, installed=number % 2 == 0) for number in range(200)]
    assert await taken(service, *own) == (50, {FULL_FOR_MEMBER.format(50, 200)})
    (row,) = await database.query("SELECT count(*) AS jobs, count(DISTINCT job_id) AS paid FROM ledger")
    assert (row["jobs"], row["paid"]) == (50, 50), "what was refused is not charged"
    assert await taken(service, request(2, 0), request(3, 200), request(4, 200, installed=True)) == (3, set())


def insert(connection: sqlite3.Connection, member: int, server: int) -> bool:
    """Ask for a job of a member in a server, in the transaction of the real thing. Returns whether it is admitted."""
    try:
        admitting.admit_for(connection, next(EVENTS), Requester(member, server, server or None), TERMS)
    except (OverShare, OverCeiling):
        return False
    return True


async def test_four_paused_servers_free_no_places_and_resuming_them_exceeds_none(database: Database) -> None:
    def fill_and_pause(connection: sqlite3.Connection, server: int) -> int:
        write_setting(connection, server, PAUSED, "off")
        number = sum(insert(connection, 100 * server + one, server) for one in range(LENGTH))
        write_setting(connection, server, PAUSED, "on")
        return number

    for round_of_pauses in range(2):
        found = [await database.write(partial(fill_and_pause, server=server)) for server in (1, 2, 3, 4)]
        assert found == ([100, 25, 18, 14] if not round_of_pauses else [0, 0, 0, 0])
    for server in (1, 2, 3, 4):
        await database.write(partial(write_setting, guild_id=server, name=PAUSED, value="off"))
    places = await database.read(partial(count_places, requester=Requester(1, 1, 1)))
    assert places == QueuePlaces(157, 0, 100)
    assert await database.write(partial(insert, member=9000, server=0))
    assert await database.write(partial(insert, member=9001, server=9))


async def test_unlimited_requests_in_ones_own_server_end_in_a_sentence_and_nothing_is_lost(
    world_of: OpenWorld,
) -> None:
    async with world_of(ceiling_queue_length=8) as world:
        ada = admin_of(world)
        for limit in ("queued_jobs", "concurrent_jobs"):
            await told(world, ada, "admin limits set", target=world.member, limit=limit, value="unlimited")
        world.env.bot.jobs.drain()  # requests are taken, and wait
        told_member = f"{FULL_FOR_MEMBER.format(2, 8)}\n``{PROMPT}``"
        assert [await ask(world) for _ in range(3)] == ["", "", told_member]
        await told(world, ada, "admin pause")
        await told(world, ada, "admin resume")
        assert (await ask(world)).startswith("You have 2 of the 8 places")
        for number in range(2):
            member = world.channel.guild.add_member(world.env.create_user(f"friend{number}"))
            assert await ask(world, member) == ""
        late = world.channel.guild.add_member(world.env.create_user("late"))
        refused = await ask(world, late)
        assert refused.startswith("This server has 4 of the 8 places in my queue, and one server may have no more")
        elsewhere, eve = another_server(world)
        assert await ask(world, eve, elsewhere) == ""
        stranger = world.env.create_user("stranger")
        await stranger.slash("imagine", prompt=PROMPT)
        (jobs,) = await rows(world, "SELECT count(*) AS admitted FROM jobs")
        (ledger,) = await rows(world, "SELECT count(DISTINCT job_id) AS paid FROM ledger")
        assert (jobs["admitted"], ledger["paid"]) == (6, 6)
        world.env.errors.clear()


async def ask(world: World, who: object = None, channel: object = None) -> str:
    """Run ``/imagine``. Returns the refusal, or an empty text if the request waits."""
    answered = await (who or world.member).slash(channel or world.channel, "imagine", prompt=PROMPT)  # type: ignore[attr-defined]
    text: str = answered.response.message.content
    return text if answered.ephemeral else ""
