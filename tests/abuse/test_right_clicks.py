"""Attacks on *Apps → Edit image*: forms with the ids of messages that other members right-clicked."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.playground.world import World
from tests.helpers.forging import forged_form
from tests.helpers.pictures import CHANGED, PROMPT, newest, photo, rows
from tests.helpers.rights import set_rights

NOT_FOUND = "There is no such picture here."


def staff_channel(world: World) -> Any:
    """Add a channel that the world's member and the bot read, and nobody else."""
    guild, shown = world.channel.guild, discord.PermissionOverwrite(view_channel=True, send_messages=True)
    overwrites = {
        guild.default_role: discord.PermissionOverwrite(view_channel=False),
        world.member: shown,
        world.env.bot.user: shown,
    }
    return guild.create_text_channel("staff", overwrites=overwrites)


async def right_clicked(world: World, *, ephemeral: bool) -> tuple[discord.Message, Any]:
    """Have the world's member right-click a picture that they alone, or staff alone, can see."""
    staff = world.channel if ephemeral else staff_channel(world)
    if ephemeral:
        await world.member.slash(staff, "imagine", prompt=PROMPT, steps=1, private=True)
        posted = newest(world)
        await world.env.bot.database.write(
            lambda connection: connection.execute("UPDATE jobs SET result_message_id = 1")
        )
    else:
        ann = staff.guild.add_member(world.env.create_user("ann"))
        set_rights(world, staff, ann, view_channel=True)
        posted = await ann.send(staff, "look", attachments=[("plan.png", photo())])
    shown = await world.member.context_menu(staff, "Edit image", posted)
    assert shown.modal is not None
    return posted, staff


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_a_forged_form_about_another_members_right_click_gets_no_picture(
    world: World, *, ephemeral: bool
) -> None:
    posted, staff = await right_clicked(world, ephemeral=ephemeral)
    jobs = len(await rows(world, "SELECT id FROM jobs"))
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    there = world.env.create_guild(name="Elsewhere").create_text_channel("elsewhere")
    kim = there.guild.add_member(world.env.create_user("kim"))
    for who, place in ((noa, world.channel), (kim, there)):
        refused = await forged_form(world, who, place, f"zib:modal:m{staff.id}-{posted.id}", prompt=CHANGED)
        expected = "I may not read that message" if ephemeral and place == world.channel else NOT_FOUND
        assert refused.response.content.startswith(expected)
        assert len(place.history(viewer=who)) == 1, "the refusal alone"
    assert len(await rows(world, "SELECT id FROM jobs")) == jobs
    assert world.env.errors is not None


async def test_who_lost_the_channel_cannot_send_the_form_that_they_opened_there(world: World) -> None:
    posted, staff = await right_clicked(world, ephemeral=False)
    custom_id = f"zib:modal:m{staff.id}-{posted.id}"
    set_rights(world, staff, world.member, view_channel=False)
    refused = await forged_form(world, world.member, world.channel, custom_id, prompt=CHANGED)
    assert refused.response.content.startswith(NOT_FOUND)
    assert await rows(world, "SELECT id FROM jobs") == []


@pytest.mark.pictures
async def test_the_member_who_clicked_still_gets_their_edit(world: World) -> None:
    posted, staff = await right_clicked(world, ephemeral=False)
    await forged_form(world, world.member, staff, f"zib:modal:m{staff.id}-{posted.id}", prompt=CHANGED)
    assert len(staff.history()[-1].attachments) == 1
