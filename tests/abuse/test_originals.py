"""Attacks on the originals of edits, which their owners gave to the bot and never posted."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.playground.world import World
from tests.helpers.admins import moderator_of
from tests.helpers.buttons import filled_in
from tests.helpers.forging import forged_click, forged_form
from tests.helpers.pictures import CHANGED, drawn, newest, photo, rows

HIDDEN = "You may not see the picture that this one was made from"


async def edit_of_an_upload(world: World) -> discord.Message:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("me.png", photo()), steps=1, strength=0.5)
    return newest(world)


def stranger(world: World) -> Any:
    return world.channel.guild.add_member(world.env.create_user("noa"))


async def test_compare_again_and_remix_show_strangers_no_original_that_was_never_posted(world: World) -> None:
    edited, noa = await edit_of_an_upload(world), stranger(world)
    (image,) = await rows(world, "SELECT id FROM images")
    compared = await forged_click(world, noa, edited, f"zib:compare:i{image['id']}")
    assert compared.response.content.startswith(HIDDEN)
    assert [message.id for message in world.channel.history(viewer=noa) if message.attachments] == [edited.id]
    again = await noa.click(edited, label="Again")
    assert again.response.content.startswith(HIDDEN)
    remix = await noa.click(edited, label="Remix")
    assert remix.modal is None
    assert remix.response.content.startswith(HIDDEN)
    form = await forged_form(world, noa, world.channel, "zib:request:j1", prompt=CHANGED, flags="--strength 0.05")
    assert form.response.content.startswith(HIDDEN)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_the_owner_still_compares_repeats_and_remixes(world: World) -> None:
    edited = await edit_of_an_upload(world)
    (image,) = await rows(world, "SELECT id FROM images")
    await forged_click(world, world.member, edited, f"zib:compare:i{image['id']}")
    assert newest(world).attachments
    await world.member.click(edited, label="Again")
    remix = await world.member.click(edited, label="Remix")
    await world.member.submit_modal(remix, filled_in(remix))
    assert [row["kind"] for row in await rows(world, "SELECT kind FROM jobs")] == ["edit", "again", "edit"]


@pytest.mark.parametrize("deleted", [False, True])
async def test_an_edit_of_a_posted_picture_is_repeated_by_all_until_that_is_deleted(
    world: World, *, deleted: bool
) -> None:
    parent = await drawn(world, steps=1)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, steps=1, strength=0.5)
    edited, noa = newest(world), stranger(world)
    if deleted:
        await moderator_of(world).delete(parent)
    again = await noa.click(edited, label="Again")
    assert len(await rows(world, "SELECT id FROM jobs")) == (2 if deleted else 3)
    if deleted:
        assert "is no longer kept, so only the member who asked can repeat" in again.response.content
