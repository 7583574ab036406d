"""Which pictures a member may edit, and what is said of those that are no longer kept."""

from __future__ import annotations

import time
from functools import partial

import discord
import pytest

from bot.playground.world import World
from bot.store.guild_settings import EDITABLE, write_setting
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, picture_of, rows, seen_in
from tests.helpers.privacy import JUST_DATA, delete


async def test_buttons_under_what_was_deleted_say_so(world: World) -> None:
    result = await drawn(world, steps=1)
    await delete(world, JUST_DATA)
    for label in ("Edit", "Vary", "Again", "Upscale", "More…"):
        answered = await world.member.click(result, label=label)
        assert answered.response.content == "This picture is no longer kept."


async def test_buttons_under_what_is_too_old_say_for_how_long_it_was_kept(world: World) -> None:
    result = await drawn(world, steps=1)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, steps=1)
    edited = newest(world)
    await make_old(world, 1)
    for label in ("Edit", "Again", "More…"):
        answered = await world.member.click(result, label=label)
        assert answered.response.content.startswith("I keep pictures for 30 days, and this one is older.")
    more = await world.member.click(edited, label="More…")
    await world.member.click(more.response, label="Tree")
    assert picture_of(await newest(world).attachments[0].read()).width > 300, "relatives are drawn without it"
    # A message that Discord still shows can be edited, even if the server allows the bot's results alone.
    await world.env.bot.database.write(
        partial(write_setting, guild_id=world.channel.guild.id, name=EDITABLE, value="results")
    )
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=result.jump_url)
    assert len(newest(world).attachments) == 1


async def make_old(world: World, job_id: int) -> None:
    bot = world.env.bot
    await bot.database.write(
        lambda connection: connection.execute("UPDATE jobs SET ended_at = 1 WHERE id = ?", (job_id,))
    )
    await bot.services.housekeeping.clean(int(time.time()))


async def test_private_stays_private(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    (secret,) = world.channel.history(viewer=world.member)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    (image,) = await rows(world, "SELECT id FROM images")
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert world.channel.history(viewer=stranger) == []
    jobs = await rows(world, "SELECT visibility, parent_image_id FROM jobs ORDER BY id")
    assert [job["visibility"] for job in jobs] == ["private", "private"]
    assert "edit of" not in newest(world).content, "no link leads to what is private"
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == f"There is no such picture here.\n``{CHANGED}``"
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED)
    assert "I see no picture to edit" in answered.response.content, "others' private pictures are no default"
    assert len(world.env.errors) == 2
    assert secret.attachments


@pytest.mark.pictures
async def test_a_picture_whose_file_is_gone_is_taken_from_its_message(world: World) -> None:
    result = await drawn(world)
    (image,) = await rows(world, "SELECT id, file FROM images")
    (world.env.bot.settings.image_dir / image["file"]).unlink()
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"], strength=0.9)
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    world.env.backend.edit_message(world.channel.id, result.id, {"attachments": []})
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert "no longer kept, and its message is gone" in newest(world).content


async def test_what_went_to_somebodys_direct_messages_is_nobody_elses_default(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE jobs SET result_channel_id = 1"))
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED)
    assert "I see no picture to edit" in answered.response.content
    (image,) = await rows(world, "SELECT id FROM images")
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == f"There is no such picture here.\n``{CHANGED}``"
    assert len(world.env.errors) == 2


async def test_pictures_of_a_hidden_channel_are_not_for_everybody(world: World) -> None:
    guild = world.channel.guild
    stranger = guild.add_member(world.env.create_user("noa"))
    hidden = guild.create_text_channel(
        "hidden",
        overwrites={
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            world.member: discord.PermissionOverwrite(view_channel=True),
            world.env.bot.user: discord.PermissionOverwrite(view_channel=True),
        },
    )
    await world.member.slash(hidden, "imagine", prompt=PROMPT)
    (image,) = await rows(world, "SELECT id FROM images")
    answered = await stranger.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == f"There is no such picture here.\n``{CHANGED}``"
    assert len(world.env.errors) == 1
