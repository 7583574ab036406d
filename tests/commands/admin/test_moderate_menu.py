"""*Apps → Moderate* on a picture: who asked, delete, block; and who cannot."""

from __future__ import annotations

import time
from typing import Any

import discord
import pytest
import simcord

from bot.playground.world import World
from tests.helpers.admins import admin_of, another_server, ask, audited, blocks_in, demote, labels, moderator_of, told
from tests.helpers.pictures import PROMPT, drawn, rows
from tests.helpers.worlds import restart


async def opened(world: World, who: Any, picture: discord.Message) -> discord.Message:
    answered = await who.context_menu(world.channel, "Moderate", picture)
    assert answered.ephemeral
    return answered.response.message


async def test_it_says_who_asked(world: World) -> None:
    message = await opened(world, moderator_of(world), await drawn(world, count=2))
    assert message.content == f"These 2 pictures were asked for by <@{world.member.id}>."
    assert labels(message) == ["Delete", "Block for a day"]


async def test_the_picture_is_deleted_and_that_is_audited(world: World) -> None:
    mo, picture = moderator_of(world), await drawn(world, count=2)
    message = await opened(world, mo, picture)
    await restart(world)
    await mo.click(message, label="Delete")
    assert [each.id for each in world.channel.history()] == []
    assert {row["state"] for row in await rows(world, "SELECT state FROM images")} == {"deleted"}
    (change,) = await audited(world)
    assert (change.action, change.target, change.before, change.after, change.member_id) == (
        "moderate delete", f"<@{world.member.id}>", "2 pictures", "deleted", world.member.id,
    )  # fmt: skip
    (left,) = world.channel.history(viewer=mo)
    assert left.content.endswith("Deleted.")
    assert labels(left) == ["Block for a day"]
    await mo.click(left, custom_id="zib:moderate-block:j1")
    assert len(await blocks_in(world)) == 1


async def test_who_asked_is_blocked_for_a_day_and_that_is_audited(world: World) -> None:
    mo = moderator_of(world)
    message = await opened(world, mo, await drawn(world))
    await mo.click(message, label="Block for a day")
    (block,) = await blocks_in(world)
    assert block.member_id == world.member.id
    assert 86_000 < (block.until or 0) - time.time() <= 86_400
    assert [each.action for each in await audited(world)] == ["block"]
    assert "You are blocked" in await ask(world)


async def test_a_longer_block_is_not_shortened(world: World) -> None:
    mo, picture = moderator_of(world), await drawn(world)
    await told(world, admin_of(world), "admin block", member=world.member)
    refused = await mo.click(await opened(world, mo, picture), label="Block for a day")
    assert refused.response.content == f"<@{world.member.id}> is blocked for good already."
    (block,) = await blocks_in(world)
    assert block.until is None


async def test_an_admin_cannot_be_blocked(world: World) -> None:
    ada, mo = admin_of(world), moderator_of(world)
    await ada.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    refused = await mo.click(await opened(world, mo, world.channel.history()[-1]), label="Block for a day")
    assert "is an admin of this server" in refused.response.content
    assert await blocks_in(world) == []


async def test_it_is_for_moderators_and_for_pictures_of_the_bot(world: World) -> None:
    picture = await drawn(world)
    with pytest.raises(simcord.SetupError, match="not visible"):
        await world.member.context_menu(world.channel, "Moderate", picture)
    talk = await world.member.send(world.channel, "look at this")
    answered = await moderator_of(world).context_menu(world.channel, "Moderate", talk)
    assert answered.response.content == "That message is none of my pictures in this channel."
    assert world.env.errors is not None


@pytest.mark.parametrize("what", ["delete", "block"])
async def test_who_is_no_moderator_any_more_can_do_nothing(world: World, what: str) -> None:
    mo, picture = moderator_of(world), await drawn(world)
    message = await opened(world, mo, picture)
    demote(world, mo)
    refused = await mo.click(message, custom_id=f"zib:moderate-{what}:j1")
    assert "Only moderators can do that" in refused.response.content
    assert await audited(world) == []
    assert world.channel.history()[-1].id == picture.id


@pytest.mark.parametrize("what", ["delete", "block"])
async def test_moderators_of_another_server_or_channel_reach_nothing_here(world: World, what: str) -> None:
    picture = await drawn(world)
    there, _ = another_server(world)
    elsewhere = world.channel.guild.create_text_channel("elsewhere")
    for place, job in ((there, 2), (elsewhere, 3)):
        mo = moderator_of(world, place, f"mo{job}")
        await mo.slash(place, "imagine", prompt=PROMPT, steps=1)
        message = (await mo.context_menu(place, "Moderate", place.history()[-1])).response.message
        forge(world, place, message, f"zib:moderate-{what}:j{job}", f"zib:moderate-{what}:j1")
        refused = await mo.click(message, custom_id=f"zib:moderate-{what}:j1")
        assert refused.response.content == "That message is none of my pictures in this channel."
    assert await blocks_in(world) == await audited(world) == []
    assert world.channel.history()[-1].id == picture.id


def forge(world: World, place: Any, message: discord.Message, custom_id: str, instead: str) -> None:
    """Change a button's id, as a modified client can."""
    stored = world.env.backend.messages[place.id][message.id]
    for row in stored.components:
        for item in row["components"]:
            item["custom_id"] = item["custom_id"].replace(custom_id, instead)


async def test_a_private_picture_is_nobodys_business(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    mo = moderator_of(world)
    await mo.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
    message = await opened(world, mo, world.channel.history()[-1])
    forge(world, world.channel, message, "zib:moderate-block:j2", "zib:moderate-block:j1")
    refused = await mo.click(message, custom_id="zib:moderate-block:j1")
    assert refused.response.content == "That message is none of my pictures in this channel."
    assert await blocks_in(world) == []


async def test_discord_takes_five_menus_of_a_kind(world: World) -> None:
    for kind in (discord.AppCommandType.message, discord.AppCommandType.user):
        assert len(world.env.bot.tree.get_commands(type=kind)) <= 5
