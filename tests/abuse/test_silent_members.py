"""Attacks of members who may not write in a channel, but may use commands there: nothing of theirs is posted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
import pytest

from bot.playground.world import World
from tests.helpers.admins import admin_of, told
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows
from tests.helpers.rights import set_rights

Way = Callable[[World, Any, Any, discord.Message], Awaitable[Any]]


async def imagine(world: World, who: Any, channel: Any, posted: discord.Message) -> None:
    await who.slash(channel, "imagine", prompt=PROMPT, steps=1)


async def upload(world: World, who: Any, channel: Any, posted: discord.Message) -> None:
    await who.slash(channel, "edit", prompt=CHANGED, image=("p.png", photo()), steps=1)


async def right_click(world: World, who: Any, channel: Any, posted: discord.Message) -> None:
    shown = await who.context_menu(channel, "Edit image", posted)
    await who.submit_modal(shown, {"prompt": CHANGED, "strength": "0.2"})


async def again(world: World, who: Any, channel: Any, posted: discord.Message) -> None:
    await who.click(posted, label="Again")


def silent(world: World, channel: Any, **rights: bool) -> Any:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    set_rights(world, channel, noa, **rights)
    return noa


@pytest.mark.parametrize("way", [imagine, upload, right_click, again])
async def test_who_may_not_write_posts_nothing_and_is_answered_alone(world: World, way: Way) -> None:
    posted, noa = await drawn(world, steps=1), silent(world, world.channel, send_messages=False)
    await way(world, noa, world.channel, posted)
    assert [message.id for message in world.channel.history(viewer=world.member)] == [posted.id]
    answer = newest(world, noa)
    assert answer.attachments
    assert "\n-# You may not write in this channel, so my answer is for you alone." in answer.content
    assert (await rows(world, "SELECT visibility FROM jobs ORDER BY id"))[1:] == [{"visibility": "private"}]


async def test_threads_have_a_permission_of_their_own(world: World) -> None:
    await world.env.bot.get_channel(world.channel.id).create_thread(name="side", type=discord.ChannelType.public_thread)
    (side,) = world.channel.threads
    noa = silent(world, world.channel, send_messages=True, send_messages_in_threads=False)
    await noa.slash(side, "imagine", prompt=PROMPT, steps=1)
    assert side.history(viewer=world.member) == []
    set_rights(world, world.channel, noa, send_messages=False, send_messages_in_threads=True)
    await noa.slash(side, "imagine", prompt=PROMPT, steps=1)
    assert len(side.history(viewer=world.member)) == 1


async def test_who_is_silenced_while_the_price_is_asked_posts_nothing(world: World) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    asked = await noa.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=9)
    set_rights(world, world.channel, noa, send_messages=False)
    await noa.click(asked.response, label="Generate")
    assert world.channel.history(viewer=world.member) == []
    assert len(newest(world, noa).attachments) == 4


async def test_where_every_picture_is_public_they_are_refused(world: World) -> None:
    await told(world, admin_of(world), "admin settings", private_pictures="off")
    noa = silent(world, world.channel, send_messages=False)
    refused = await told(world, noa, "imagine", prompt=PROMPT)
    assert refused.content.startswith("You may not write in this channel, and this server does not allow pictures that")
    assert await rows(world, "SELECT id FROM jobs") == []
