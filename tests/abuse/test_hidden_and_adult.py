"""Attacks that show spoilers without a click, and pictures of age-restricted channels outside of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
import pytest

from bot.playground.world import World
from tests.helpers.buttons import filled_in
from tests.helpers.forging import forged_form
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows

ADULT = "That picture is from an age-restricted channel: use it in a channel that is age-restricted, too."

Way = Callable[[World, discord.Message], Awaitable[Any]]


async def upload(world: World, posted: discord.Message) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("SPOILER_p.png", photo()))


async def right_click(world: World, posted: discord.Message) -> None:
    shown = await world.member.context_menu(world.channel, "Edit image", posted)
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.5"})


async def mention(world: World, posted: discord.Message) -> None:
    text = f"<@{world.env.bot.user.id}> {CHANGED}"
    await world.member.send(world.channel, text, attachments=[("SPOILER_p.png", photo())])


@pytest.mark.parametrize("way", [upload, right_click, mention])
async def test_what_is_made_from_a_spoiler_is_one(world: World, way: Way) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    posted = await noa.send(world.channel, "look", attachments=[("SPOILER_p.png", photo())])
    await way(world, posted)
    edited = newest(world)
    assert [file.is_spoiler() for file in edited.attachments] == [True]
    (job,) = await rows(world, "SELECT spoiler FROM jobs")
    assert job["spoiler"], "previews go by this"


async def test_everything_that_follows_from_a_spoiler_is_hidden_too(world: World) -> None:
    await upload(world, await drawn(world, steps=1))
    edited = newest(world)
    await world.member.click(edited, label="Again")
    remix = await world.member.click(edited, label="Remix")
    await world.member.submit_modal(remix, filled_in(remix))
    shown = await world.member.click(edited, label="Edit")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.2"})
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=edited.jump_url)
    made = world.channel.history(viewer=world.member)[2:]
    assert [file.is_spoiler() for message in made for file in message.attachments] == [True] * 4
    menu = await world.member.click(edited, label="More…")
    compared = await world.member.click(menu.response, label="Compare")
    assert compared.response.attachments[0].filename.startswith("SPOILER_")


async def test_what_is_made_from_a_spoiler_given_to_details_is_one(world: World) -> None:
    ours = await (await drawn(world, steps=1)).attachments[0].read()
    shown = await world.member.slash(world.channel, "details", image=("SPOILER_mine.png", ours))
    await world.member.click(shown.response, label="Again")
    again = newest(world)
    form = await world.member.click(shown.response, label="Edit")
    await world.member.submit_modal(form, {"prompt": CHANGED, "strength": "0.5"})
    await world.member.click(again, label="Again")
    made = world.channel.history(viewer=world.member)[1:]
    assert [file.is_spoiler() for message in made for file in message.attachments] == [True] * 3


async def test_a_picture_of_an_age_restricted_channel_stays_in_such_channels(world: World) -> None:
    adult = world.channel.guild.create_text_channel("adult")
    await world.env.settle()
    world.env.bot.get_channel(adult.id).nsfw = True  # SimCord has no such channels
    await world.member.slash(adult, "imagine", prompt=PROMPT, steps=1)
    result = newest_in(adult)
    posted = await world.member.send(adult, "look", attachments=[("p.png", photo())])
    (image,) = await rows(world, "SELECT id FROM images")
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    for who in (world.member, noa):
        for source in (image["id"], result.jump_url):
            refused = await who.slash(world.channel, "edit", prompt=CHANGED, source=source)
            assert refused.response.content.startswith(ADULT), source
        refused = await who.slash(world.channel, "tree", source=result.jump_url)
        assert refused.response.content == ADULT
        form = await forged_form(world, who, world.channel, f"zib:modal:i{image['id']}", prompt=CHANGED)
        assert form.response.content.startswith(ADULT)
    await world.member.context_menu(adult, "Edit image", posted)
    custom_id = f"zib:modal:m{adult.id}-{posted.id}"
    form = await forged_form(world, world.member, world.channel, custom_id, prompt=CHANGED)
    assert form.response.content.startswith(ADULT)
    await noa.slash(adult, "edit", prompt=CHANGED, source=result.jump_url, steps=1)
    assert [row["channel_id"] for row in await rows(world, "SELECT channel_id FROM jobs")] == [adult.id, adult.id]
    assert world.env.errors is not None


async def test_the_original_of_an_edit_leaves_no_age_restricted_channel(world: World) -> None:
    adult = world.channel.guild.create_text_channel("adult")
    await world.env.settle()
    world.env.bot.get_channel(adult.id).nsfw = True  # SimCord has no such channels
    await world.member.slash(adult, "edit", prompt=CHANGED, image=("p.png", photo()), steps=1)
    form = await forged_form(world, world.member, world.channel, "zib:request:j1", prompt=CHANGED)
    assert form.response.content.startswith(ADULT)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


def newest_in(channel: Any) -> discord.Message:
    message: discord.Message = channel.history()[-1]
    return message
