"""``/admin setup``: shows and sets what an admin decides first; and the three steps in a server that is new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.playground.faulty_discord import DiscordFaults
from bot.playground.world import World
from tests.helpers.admins import admin_of, another_server, ask, audited, channel_rules_in, demote, told
from tests.helpers.pictures import drawn, rows
from tests.helpers.worlds import OpenWorld, restart


async def opened(world: World, who: Any) -> discord.Message:
    return await told(world, who, "admin setup")


def shown(world: World, who: Any, message: discord.Message) -> str:
    """What the message says now."""
    (found,) = [each for each in world.channel.history(viewer=who) if each.id == message.id]
    return found.content


async def test_it_shows_what_holds(world: World) -> None:
    message = await opened(world, admin_of(world))
    for line in (
        "**Credits a day** for each member: 50 (my default)",
        "**Channels** where I may be used: all",
        "**Log channel**, with a line for each change: none",
        "**Pictures** are shown at once",
        "**Private pictures** are allowed",
    ):
        assert line in message.content
    assert "</admin settings:" in message.content


async def test_credits_are_set_and_taken_back(world: World) -> None:
    ada = admin_of(world)
    message = await opened(world, ada)
    for typed, said in (
        ("7.5", "for each member: 7.5\n"),
        ("unlimited", "for each member: unlimited\n"),
        ("", "for each member: 50 (my default)"),
    ):
        form = await ada.click(message, label="Credits a day")
        await ada.submit_modal(form, {"credits": typed})
        assert said in shown(world, ada, message)
    changes = [(each.action, each.target, each.before, each.after) for each in await audited(world)]
    assert changes == [
        ("limits set credits_per_day", "everyone", "not set", "7.5"),
        ("limits set credits_per_day", "everyone", "7.5", "unlimited"),
        ("limits clear credits_per_day", "everyone", "unlimited", "not set"),
    ]
    form = await ada.click(message, label="Credits a day")
    refused = await ada.submit_modal(form, {"credits": "plenty"})
    assert "“plenty” is not a value for" in refused.response.content
    assert len(world.env.errors) == 1
    assert len(await audited(world)) == 3


async def test_channels_are_chosen_and_taken_back(world: World) -> None:
    ada, guild = admin_of(world), world.channel.guild
    other, forbidden = guild.create_text_channel("other"), guild.create_text_channel("forbidden")
    await told(world, ada, "admin channels deny", channel=forbidden)
    message = await opened(world, ada)
    await ada.select(message, [world.channel, other], custom_id="zib:setup-channels:s")
    assert await channel_rules_in(world) == {world.channel.id: "allow", other.id: "allow", forbidden.id: "deny"}
    assert f"<#{other.id}>" in shown(world, ada, message)
    await ada.select(message, [other], custom_id="zib:setup-channels:s")
    assert await channel_rules_in(world) == {other.id: "allow", forbidden.id: "deny"}
    assert "I may not be used in this channel" in await ask(world)
    await ada.select(message, [], custom_id="zib:setup-channels:s")
    assert await channel_rules_in(world) == {forbidden.id: "deny"}, "rules that the select does not show stay"
    assert [each.action for each in await audited(world)] == [
        "channels deny", "channels allow", "channels allow", "channels clear", "channels clear",
    ]  # fmt: skip


async def test_the_log_channel_is_chosen_and_told(world: World) -> None:
    ada, guild = admin_of(world), world.channel.guild
    log = guild.create_text_channel("log")
    message = await opened(world, ada)
    await ada.select(message, [log], custom_id="zib:setup-log_channel:s")
    assert f"for each change: <#{log.id}>" in shown(world, ada, message)
    assert "log_channel: none →" in log.history()[-1].content
    await ada.select(message, [], custom_id="zib:setup-log_channel:s")
    assert "for each change: none" in shown(world, ada, message)
    assert f"<#{log.id}> → none" in log.history()[-1].content


async def test_switches_say_what_they_do_also_after_a_restart(world: World) -> None:
    ada = admin_of(world)
    message = await opened(world, ada)
    await ada.click(message, label="Hide pictures until a click")
    assert "hidden until somebody clicks" in shown(world, ada, message)
    assert (await drawn(world)).attachments[0].is_spoiler()
    await restart(world)
    await ada.click(message, label="Forbid private pictures")
    assert "**Private pictures** are not allowed" in shown(world, ada, message)
    assert [(each.target, each.after) for each in await audited(world)] == [
        ("spoiler", "on"),
        ("private_pictures", "off"),
    ]


@pytest.mark.parametrize("custom_id", ["zib:setup-spoiler:on", "zib:setup-credits:ask", "zib:setup-channels:s"])
async def test_who_is_no_admin_any_more_can_change_nothing(world: World, custom_id: str) -> None:
    ada = admin_of(world)
    message = await opened(world, ada)
    demote(world, ada)
    if "channels" in custom_id:
        pressed = await ada.select(message, [world.channel], custom_id=custom_id)
    else:
        pressed = await ada.click(message, custom_id=custom_id)
    assert pressed.modal is None
    assert "Only admins of this server" in pressed.response.content
    assert await audited(world) == []


async def test_a_form_that_was_open_when_the_right_was_taken_changes_nothing(world: World) -> None:
    ada = admin_of(world)
    form = await ada.click(await opened(world, ada), label="Credits a day")
    demote(world, ada)
    refused = await ada.submit_modal(form, {"credits": "1000"})
    assert "Only admins of this server" in refused.response.content
    assert len(world.env.errors) == 1
    assert await rows(world, "SELECT * FROM limits") == []


async def test_it_is_about_its_own_server_alone(world: World) -> None:
    there, eve = another_server(world)
    message = (await eve.slash(there, "admin setup")).response.message
    await eve.click(message, label="Hide pictures until a click")
    assert await audited(world) == []
    assert len(await audited(world, there.guild.id)) == 1
    assert not (await drawn(world)).attachments[0].is_spoiler()


async def joined(world: World, channel: Any) -> discord.Guild:
    """Tell the bot of a server whose system channel is ``channel``."""
    world.env.backend.edit_guild(channel.guild.id, {"system_channel_id": channel.id})
    await world.env.settle()
    guild = world.env.bot.get_guild(channel.guild.id)
    for listener in world.env.bot.extra_events["on_guild_join"]:
        await listener(guild)
    return guild


async def test_a_new_server_is_told_three_steps_once(world: World) -> None:
    await joined(world, world.channel)
    (message,) = world.channel.history()
    assert "</admin setup:" in message.content
    assert [line[:2] for line in message.content.splitlines()[1:]] == ["1.", "2.", "3."]
    assert not message.mentions
    assert not message.role_mentions
    assert not message.mention_everyone
    await joined(world, world.channel)
    await restart(world)
    await joined(world, world.channel)
    assert len(world.channel.history()) == 1


async def test_where_the_bot_may_not_write_it_says_nothing(world: World) -> None:
    quiet = world.channel.guild.create_text_channel("quiet")
    with DiscordFaults(replace(world, channel=quiet)).permission_lost("send_messages"):
        await joined(world, quiet)
        assert quiet.history() == []
    await joined(world, world.channel)
    assert len(world.channel.history()) == 1, "it was not counted as told"


async def test_a_server_that_is_not_served_is_told_nothing(world_of: OpenWorld) -> None:
    async with world_of(allowed_guilds=frozenset({1})) as world:
        await joined(world, world.channel)
        assert world.channel.history() == []
