"""Threads follow the rules of their channel and its category, and the channel's age restriction."""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace

import discord
import pytest

from bot.commands.invocation import requester_of
from bot.playground.world import World
from tests.helpers.admins import admin_of, told
from tests.helpers.faults import Faulty
from tests.helpers.pictures import PROMPT, rows
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit


async def thread_in(world: World) -> tuple[discord.Thread, object]:
    channel = world.env.bot.get_channel(world.channel.id)
    thread = await channel.create_thread(name="side", type=discord.ChannelType.public_thread)
    (handle,) = world.channel.threads
    return thread, handle


async def test_a_thread_takes_its_channel_s_rule_until_it_has_one_of_its_own(world: World) -> None:
    ada = admin_of(world)
    _, side = await thread_in(world)
    await told(world, ada, "admin channels deny", channel=world.channel)
    answered = await world.member.slash(side, "imagine", prompt=PROMPT)
    assert answered.response.content == "I may not draw in this channel."
    await told(world, ada, "admin channels allow", channel=side)
    await world.member.slash(side, "imagine", prompt=PROMPT)
    assert side.history()[-1].attachments
    assert world.env.errors is not None


@pytest.mark.parametrize("nsfw", ["yes", ""])
async def test_a_thread_is_as_age_restricted_as_its_channel(world: World, nsfw: str) -> None:
    thread, _ = await thread_in(world)
    thread.parent.nsfw = bool(nsfw)
    requester = requester_of(discord.Object(1), thread, thread.guild.id, thread.guild.id)  # type: ignore[arg-type]
    assert requester.age_restricted == bool(nsfw)
    assert requester.channels == (thread.id, world.channel.id)


async def test_a_thread_whose_channel_the_bot_does_not_see_is_still_known_by_it(world: World) -> None:
    thread, _ = await thread_in(world)
    thread.guild._channels.pop(thread.parent_id)
    requester = requester_of(discord.Object(1), thread, 1, 0)  # type: ignore[arg-type]
    assert requester.channels == (thread.id, world.channel.id)
    assert not requester.age_restricted
    thread.guild._channels[world.channel.id] = SimpleNamespace(id=world.channel.id)  # for the world's own end


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
        assert await service.cancel_waiting(world.member.id, world.channel.guild.id) == 1
        gate.set()
        await until(lambda: not service.active)
        states = await rows(world, "SELECT owner_id, state FROM jobs ORDER BY id")
        assert [row["state"] for row in states] == ["delivered", "cancelled"]
