"""``/admin settings``: what a server's admins choose, shown with its values, and what it does to pictures."""

from __future__ import annotations

import pytest

from bot.playground.world import World
from tests.helpers.admins import admin_of, audited, told
from tests.helpers.pictures import PROMPT, drawn, newest, rows
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld


async def test_spoiler_hides_results_until_somebody_clicks(world: World) -> None:
    ada = admin_of(world)
    assert not (await drawn(world)).attachments[0].is_spoiler()
    said = (await told(world, ada, "admin settings", spoiler="on")).content
    assert "**spoiler**: on, pictures are hidden until somebody clicks." in said
    result = await drawn(world)
    assert result.attachments[0].is_spoiler()
    await world.member.slash(world.channel, "edit", prompt="a green circle on a blue background")
    assert newest(world).attachments[0].is_spoiler(), "what is made from it, too"
    other = world.env.create_guild(name="Elsewhere")
    there = other.create_text_channel("there")
    bob = other.add_member(world.env.create_user("bob"))
    await bob.slash(there, "imagine", prompt=PROMPT)
    assert not there.history()[-1].attachments[0].is_spoiler()


async def test_a_hidden_result_can_be_deleted_one_by_one(world: World) -> None:
    await told(world, admin_of(world), "admin settings", spoiler="on")
    result = await drawn(world, count=2)
    (first, _) = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    asked = (await world.member.click(result, label="More…")).response.message
    menu = (await world.member.select(asked, [first])).response.message
    confirm = (await world.member.click(menu, label="Delete")).response.message
    await world.member.click(confirm, label="Delete this picture")
    (message,) = world.channel.history()
    assert len(message.attachments) == 1


async def test_the_values_are_offered_with_the_one_that_holds(world: World) -> None:
    ada = admin_of(world)
    await told(world, ada, "admin settings", edit_images_of="own")
    offered = await ada.autocomplete(world.channel, "admin settings", "edit_images_of", "")
    names = [choice["name"] for choice in offered]
    assert [name.split(":")[0] for name in names] == ["all", "results", "own (now)"]
    answered = await ada.slash(world.channel, "admin settings", spoiler="maybe")
    assert answered.response.content == "spoiler is one of off, on, not “maybe”."
    assert len(world.env.errors) == 1


async def test_roles_and_channels_are_set_and_cleared_and_audited(world: World) -> None:
    guild, ada = world.channel.guild, admin_of(world)
    helpers, log = guild.create_role("helpers"), guild.create_text_channel("log")
    said = (await told(world, ada, "admin settings", admin_role=helpers, log_channel=log)).content
    assert f"**admin_role**: <@&{helpers.id}>." in said
    assert f"**log_channel**: <#{log.id}>." in said
    await told(world, ada, "admin settings", clear="admin_role")
    await told(world, ada, "admin settings", spoiler="off")
    changes = await audited(world)
    assert [(each.target, each.before, each.after) for each in changes] == [
        ("admin_role", "none", f"<@&{helpers.id}>"),
        ("log_channel", "none", f"<#{log.id}>"),
        ("admin_role", f"<@&{helpers.id}>", "none"),
    ], "what is as it was is no change"
    assert f"**settings** admin_role: <@&{helpers.id}> → none" in log.history()[-1].content


async def test_spoiler_hides_what_the_picture_looks_like_so_far_too(world_of: OpenWorld) -> None:
    async with world_of(progress_interval=0.01) as world:
        await told(world, admin_of(world), "admin settings", spoiler="on")
        card = await Typist(world).imagine(PROMPT, steps=20)
        await until(lambda: bool(world.channel.history()))
        assert card.files
        assert all(file.spoiler for file in card.files)


@pytest.mark.parametrize("nsfw", [True, False])
async def test_the_bot_can_be_kept_to_age_restricted_channels(world: World, nsfw: object) -> None:
    ada, channel = admin_of(world), world.channel
    await told(world, ada, "admin settings", age_restricted_only="on")
    world.env.bot.get_channel(channel.id).nsfw = bool(nsfw)  # SimCord has no such channels
    answered = await world.member.slash(channel, "imagine", prompt=PROMPT)
    if nsfw:
        assert channel.history()[-1].attachments
    else:
        assert answered.response.content.startswith("In this server I may be used in age-restricted channels only.\n")
        assert len(world.env.errors) == 1
