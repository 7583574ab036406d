"""Pictures in channels, threads and servers that are gone: nobody gets at them any more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import discord

from bot import metrics
from bot.playground.world import World
from bot.store.accounts import DAY
from tests.helpers.pictures import PROMPT, drawn, rows
from tests.helpers.worlds import restart


async def states(world: World) -> list[str]:
    return [row["state"] for row in await rows(world, "SELECT state FROM images ORDER BY job_id")]


def files(world: World) -> int:
    return len(list(world.env.bot.settings.image_dir.glob("*.png")))


async def drawn_in(world: World, channel: Any) -> None:
    await world.member.slash(channel, "imagine", prompt=PROMPT, steps=1)


async def thread_of(world: World, channel: Any, name: str) -> Any:
    await world.env.bot.get_channel(channel.id).create_thread(name=name, type=discord.ChannelType.public_thread)
    return next(thread for thread in channel.threads if thread.name == name)


async def test_a_deleted_thread_takes_its_pictures_though_it_was_archived(world: World) -> None:
    await drawn(world, steps=1)
    thread = await thread_of(world, world.channel, "side")
    await drawn_in(world, thread)
    world.env.bot.get_guild(thread.guild.id)._remove_thread(world.env.bot.get_channel(thread.id))  # it is archived
    world.env.backend.delete_channel(thread.id)
    await world.env.settle()
    assert files(world) == 1
    assert await states(world) == ["rendered", "deleted"]


async def test_a_deleted_channel_takes_its_pictures_and_those_of_its_archived_threads(world: World) -> None:
    channel = world.channel.guild.create_text_channel("old")
    await drawn(world, steps=1)
    await drawn_in(world, channel)
    thread = await thread_of(world, channel, "side")
    await drawn_in(world, thread)
    world.env.bot.get_guild(thread.guild.id)._remove_thread(world.env.bot.get_channel(thread.id))  # it is archived
    world.env.backend.delete_channel(channel.id)
    await world.env.settle()
    assert files(world) == 1
    assert await states(world) == ["rendered", "deleted", "deleted"]
    assert await rows(world, "SELECT * FROM removed_places") == []


async def test_a_servers_pictures_go_a_day_after_the_bot_was_removed_even_over_a_restart(world: World) -> None:
    there = world.env.create_guild(name="Elsewhere").create_text_channel("elsewhere")
    kim = there.guild.add_member(world.env.create_user("kim"))
    await drawn(world, steps=1)
    await kim.slash(there, "imagine", prompt=PROMPT, steps=1)
    world.env.backend.remove_guild(there.guild.id)
    await world.env.settle()
    assert [row["place_id"] for row in await rows(world, "SELECT place_id FROM removed_places")] == [there.guild.id]
    await restart(world)
    places, now = world.env.bot.services.removed_places, int(time.time())
    await places.clean(now + DAY - 60)
    assert await states(world) == ["rendered", "rendered"]
    await places.clean(now + DAY + 60)
    assert await states(world) == ["rendered", "deleted"]
    assert files(world) == 1


async def test_an_outage_and_an_invitation_delete_nothing(world: World) -> None:
    await drawn(world, steps=1)
    guild = world.env.bot.get_guild(world.channel.guild.id)
    places = world.env.bot.services.removed_places
    world.env.bot._connection.parse_guild_delete({"id": str(guild.id), "unavailable": True})
    await world.env.settle()
    assert await rows(world, "SELECT * FROM removed_places") == []
    await places.guild_removed(guild.id)
    world.env.bot.dispatch("guild_join", guild)
    while await rows(world, "SELECT * FROM removed_places"):
        await asyncio.sleep(0.01)
    await places.clean(int(time.time()) + 2 * DAY)
    assert await states(world) == ["rendered"]


async def test_a_server_that_went_while_the_program_did_not_run_is_noticed_at_the_next_start(world: World) -> None:
    await drawn(world, steps=1)
    places = world.env.bot.services.removed_places
    await places.compare({1})
    assert [row["place_id"] for row in await rows(world, "SELECT place_id FROM removed_places")] == [
        world.channel.guild.id
    ]
    await places.compare({world.channel.guild.id})
    assert await rows(world, "SELECT * FROM removed_places") == []


async def test_a_start_in_many_servers_writes_once_for_all_of_them(world: World) -> None:
    """Others wait for each write."""

    def writes() -> float:
        return metrics.REGISTRY.get_sample_value("zimage_database_seconds_count", {"access": "write"}) or 0.0

    bot = world.env.bot
    await drawn(world)
    await world.env.settle()
    before = writes()
    for guild_id in range(1000, 1100):
        await bot.parts.removed_places.guild_present(guild_id)
    assert writes() == before
    await bot.parts.removed_places.compare(set(range(1000, 1100)))
    assert writes() == before + 1
