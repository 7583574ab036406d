"""Who asks and where: a thread follows the rules of its channel and its category, and the age restriction."""

from __future__ import annotations

from types import SimpleNamespace

import discord
import pytest

from bot.commands.invocation import requester_of
from bot.playground.world import World
from tests.helpers.admins import admin_of, told
from tests.helpers.pictures import PROMPT


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
    assert answered.response.content == f"I may not be used in this channel.\n``{PROMPT}``"
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
