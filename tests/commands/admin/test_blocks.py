"""``/admin block``, ``/admin unblock`` and ``/admin blocked``: who may not use the bot."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from bot.playground.world import World
from bot.store import moderation
from bot.store.moderation import Block
from tests.helpers.admins import admin_of, another_server, ask, audited, blocks_in, labels, told
from tests.helpers.faults import Faulty
from tests.helpers.pictures import PROMPT, rows
from tests.helpers.typist import Typist
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit


@pytest.fixture
async def world(world_of: OpenWorld) -> Any:
    """Nothing is drawn in most of these tests, so the model need not be there."""
    async with world_of(load=False) as opened:
        yield opened


async def test_a_member_is_blocked_here_for_a_while_and_may_go_on_after_unblocking(world_of: OpenWorld) -> None:
    async with world_of() as world:
        ada, mira = admin_of(world), world.member
        now = int(time.time())
        message = await told(world, ada, "admin block", member=mira, **{"for": "1d12h"}, reason="too\nmany ducks")
        (block,) = await blocks_in(world)
        assert (block.member_id, block.reason) == (mira.id, "too many ducks")
        assert 129_600 <= (block.until or 0) - now < 129_660
        assert message.content == (
            f"<@{mira.id}> is blocked in this server until <t:{block.until}:f>, and is told why: ``too many ducks``."
        )
        refusal = await ask(world)
        assert refusal.startswith(f"You are blocked here until <t:{block.until}:f> by <@{ada.id}>: ``too many ducks``.")
        elsewhere, _ = another_server(world)
        there = elsewhere.guild.add_member(world.env.create_user("noa"))
        assert "seed 1" in await ask(world, there, elsewhere)

        said = await told(world, ada, "admin unblock", member=mira)
        assert said.content == f"<@{mira.id}> may use me in this server again."
        assert "seed 1" in await ask(world)
        assert [change.action for change in await audited(world)] == ["block", "unblock"]


async def test_blocking_again_changes_it_and_the_same_again_changes_nothing(world: World) -> None:
    ada, mira = admin_of(world), world.member
    await told(world, ada, "admin block", member=mira, **{"for": "2w"}, reason="ducks")
    await told(world, ada, "admin block", member=mira)
    (block,) = await blocks_in(world)
    assert (block.until, block.reason) == (None, None)
    said = await told(world, ada, "admin block", member=mira)
    assert said.content == f"<@{mira.id}> was already blocked in this server for good."
    first, second = await audited(world)
    assert (first.before, second.after, first.reason) == ("not blocked", "blocked for good", "ducks")
    assert first.after == second.before != "not blocked"


async def test_who_cannot_be_blocked_and_why(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    other = guild.add_member(world.env.create_user("bea"), roles=[guild.roles["boss"]])
    helpers = guild.create_role("helpers")
    helper = guild.add_member(world.env.create_user("hal"), roles=[helpers])
    await told(world, ada, "admin settings", admin_role=helpers)
    bot = guild.add_member(world.env.create_user("robot", bot=True))
    sentences = {
        ada: "You would block yourself; ask another admin if you mean it.",
        other: "is an admin of this server and cannot be blocked",
        helper: "is an admin of this server and cannot be blocked",
        bot: "Bots cannot ask for pictures",
    }
    for member, sentence in sentences.items():
        assert sentence in (await told(world, ada, "admin block", member=member)).content
    said = await told(world, ada, "admin block", member=world.member, **{"for": "soon"})
    assert "“soon” is not a period" in said.content
    said = await told(world, ada, "admin unblock", member=world.member)
    assert said.content == f"<@{world.member.id}> is not blocked in this server; /admin blocked lists who is."
    assert await blocks_in(world) == []


async def test_somebody_who_has_left_can_be_blocked_and_unblocked(world: World) -> None:
    ada, user = admin_of(world), world.env.create_user("gone")
    world.channel.guild.add_member(user)
    world.channel.guild.remove_member(user)
    assert "for good" in (await told(world, ada, "admin block", member=user)).content
    assert [block.member_id for block in await blocks_in(world)] == [user.id]
    assert "again" in (await told(world, ada, "admin unblock", member=user)).content


async def test_blocking_cancels_what_is_in_line_here_and_nothing_else(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    worker = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(worker, concurrent_jobs=1) as world:
        ada = admin_of(world)
        elsewhere, _ = another_server(world)
        there = elsewhere.guild.add_member(world.env.create_user("noa"))
        asks = [(world.member, world.channel)] * 2 + [(there, elsewhere)]
        for who, channel in asks:
            await leave_running(world, who.slash(channel, "imagine", prompt="a red circle", seed=1))
        await until(entered.is_set)
        await until(lambda: len(world.env.bot.jobs.active) == 3)
        await leave_running(world, ada.slash(world.channel, "admin block", member=world.member))
        told_so = "1 waiting request of theirs was cancelled."
        await until(lambda: any(m.content.endswith(told_so) for m in world.channel.history(viewer=ada)))
        gate.set()
        await world.env.settle()
        states = await world.env.bot.database.query("SELECT state FROM jobs ORDER BY id")
        assert [row["state"] for row in states] == ["delivered", "cancelled", "delivered"]
        by_moderator = "Cancelled by a moderator: ``a red circle``. Nothing was charged."
        assert by_moderator in [message.content for message in world.channel.history()]


async def test_the_list_of_who_is_blocked_in_pages_without_those_whose_time_is_over(world: World) -> None:
    ada, guild_id, now = admin_of(world), world.channel.guild.id, int(time.time())
    assert (await told(world, ada, "admin blocked")).content == "Nobody is blocked in this server."

    def write(connection: Any) -> None:
        for number in range(1, 13):
            until_then = None if number % 2 else now + number * 1000
            moderation.write_block(connection, guild_id, Block(number, until_then, "`duck` " * 28, now + number))
        moderation.write_block(connection, guild_id, Block(99, now - 1, "over", now))
        moderation.write_block(connection, guild_id + 1, Block(98, None, "elsewhere", now))

    await world.env.bot.database.write(write)
    message = await told(world, ada, "admin blocked")
    heading, first, second, *rest = message.content.splitlines()
    assert heading == "**12 members are blocked in this server**, the newest first · page 1 of 2"
    assert first.startswith(f"<@12> ends <t:{now + 12_000}:R> · `` `duck` `duck`")
    assert second.startswith("<@11> for good · `` `duck`")
    assert len(rest) == 8
    await ada.click(message, label="Next")
    (message,) = world.channel.history(viewer=ada)[1:]
    assert [line.split()[0] for line in message.content.splitlines()[1:]] == ["<@2>", "<@1>"]
    assert labels(message) == ["Back"]


async def test_blocking_cancels_what_is_on_the_engine_and_has_not_begun(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.ENCODE_TEXT, gate=gate, entered=entered)
    async with world_of(slow) as world:
        service = world.env.bot.jobs
        other = world.channel.guild.add_member(world.env.create_user("noa"))
        await Typist(world, other).imagine(PROMPT)
        await until(entered.is_set)
        await Typist(world).imagine("a green square on a white background")
        await until(lambda: all(active.rendering is not None for active in service.active.values()))
        assert await service.cancellation.cancel_waiting(world.member.id, world.channel.guild.id) == 1
        gate.set()
        await until(lambda: not service.active)
        states = await rows(world, "SELECT owner_id, state FROM jobs ORDER BY id")
        assert [row["state"] for row in states] == ["delivered", "cancelled"]
