"""Attacks of members who may manage messages in one channel, on pictures and requests in others."""

from __future__ import annotations

from typing import Any

import discord

from bot.playground.world import World
from tests.helpers.admins import audited
from tests.helpers.buttons import button_labels
from tests.helpers.forging import forged_click
from tests.helpers.job_worlds import HeldUp
from tests.helpers.pictures import PROMPT, drawn, newest, rows
from tests.helpers.rights import set_rights
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit

ONLY_MODERATORS = "Only the member who asked for this picture, or a moderator, can"


async def moderator_elsewhere(world: World) -> tuple[Any, discord.Message]:
    """Add a channel that noa moderates. Returns her, and a picture of hers there."""
    office = world.channel.guild.create_text_channel("office")
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    set_rights(world, office, noa, manage_messages=True)
    await noa.slash(office, "imagine", prompt=PROMPT, steps=1)
    return noa, office.history()[-1]


async def test_manage_messages_in_one_channel_deletes_no_picture_of_another(world: World) -> None:
    posted = await drawn(world, steps=1)
    noa, own = await moderator_elsewhere(world)
    (image, _) = await rows(world, "SELECT id FROM images ORDER BY job_id")
    for what in ("delete", "drop", "dropall"):
        refused = await forged_click(world, noa, own, f"zib:{what}:i{image['id']}")
        assert refused.response.content.startswith(f"{ONLY_MODERATORS} delete it.")
    menu = await forged_click(world, noa, own, f"zib:more:i{image['id']}")
    assert "Delete" not in button_labels(menu.response)
    assert newest(world).id == posted.id
    assert await audited(world) == []
    set_rights(world, world.channel, noa, manage_messages=True)
    menu = await forged_click(world, noa, own, f"zib:more:i{image['id']}")
    assert "Delete" in button_labels(menu.response)


async def test_manage_messages_in_one_channel_cancels_no_request_of_another(world_of: OpenWorld) -> None:
    device = HeldUp(Unit.DENOISE)
    async with world_of(device.wrap) as world:
        office = world.channel.guild.create_text_channel("office")
        noa = world.channel.guild.add_member(world.env.create_user("noa"))
        set_rights(world, office, noa, manage_messages=True)
        await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1))
        await until(device.entered.is_set)
        button = await world.env.bot.get_channel(office.id).send("x")
        await leave_running(world, forged_click(world, noa, button, "zib:cancel:1"))
        await until(lambda: office.history(viewer=noa)[-1].content.startswith(f"{ONLY_MODERATORS} cancel it."))
        device.gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        assert [row["state"] for row in await rows(world, "SELECT state FROM jobs")] == ["delivered"]
