"""``/tree`` on a simulated Discord."""

from __future__ import annotations

from functools import partial

import pytest

from bot.playground.world import World
from bot.store.guild_settings import EDITABLE, write_setting
from tests.helpers.pictures import PROMPT, drawn, newest, photo


async def test_tree_of_the_newest_here(world: World) -> None:
    await drawn(world)
    answered = await world.member.slash(world.channel, "tree")
    assert answered.ephemeral
    assert answered.response.attachments


async def test_tree_shows_the_pictures_of_others_whoever_may_edit_them(world: World) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    await noa.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    theirs = newest(world)
    await world.env.bot.database.write(
        partial(write_setting, guild_id=world.channel.guild.id, name=EDITABLE, value="own")
    )
    answered = await world.member.slash(world.channel, "tree", source=theirs.jump_url)
    assert answered.response.attachments
    await world.env.advance_time(3)
    answered = await world.member.slash(world.channel, "tree")
    assert answered.response.attachments


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "I have no pictures in this channel yet."),
        ("a cat", "Give the link of a message with one of my pictures"),
        ("0123456789ab", "There is no such picture here."),
        ("https://discord.com/channels/1/2/3", "There is no picture of mine in that message"),
    ],
)
async def test_what_has_no_family_is_refused_with_advice_for_this_command(
    world: World, source: str | None, sentence: str
) -> None:
    posted = await world.member.send(world.channel, "look", attachments=[("p.png", photo())])
    links = [{"source": source}] if source is not None else [{}]
    links += [{"source": posted.jump_url}] if "mine" in sentence else []
    for options in links:
        answered = await world.member.slash(world.channel, "tree", **options)
        assert sentence in answered.response.content
        assert "image option" not in answered.response.content
    assert world.env.errors is not None  # refusals of a command are raised and answered


async def test_of_several_pictures_in_a_message_the_menu_takes_one(world: World) -> None:
    result = await drawn(world, count=2, steps=1)
    answered = await world.member.slash(world.channel, "tree", source=result.jump_url)
    assert "press **More…** under it, choose one, then **Tree**" in answered.response.content
    assert len(world.env.errors) == 1
