"""What buttons, and pictures made from them, show of pictures that are no longer kept."""

from __future__ import annotations

import time
from functools import partial

from bot.playground.world import World
from bot.store.guild_settings import EDITABLE, write_setting
from tests.helpers.pictures import CHANGED, drawn, newest, picture_of
from tests.helpers.privacy import JUST_DATA, another_member, delete, files_in


async def test_what_others_made_from_it_stays_theirs_without_the_original(world: World) -> None:
    noa = another_member(world)
    await drawn(world, steps=1)
    await noa.slash(world.channel, "edit", prompt=CHANGED)
    theirs = newest(world, noa)
    assert len(files_in(world, "sources")) == 1
    await delete(world, JUST_DATA)
    assert files_in(world, "sources") == []
    assert len(files_in(world, "images")) == 1
    await noa.click(theirs, label="Again")
    assert "no longer kept: give it again with /edit" in newest(world, noa).content
    more = await noa.click(theirs, label="More…")
    await noa.click(more.response, label="Compare")
    assert newest(world, noa).content == "The original is no longer kept, so there is nothing to compare with."
    await world.env.advance_time(3)  # free work has a pause
    await noa.click(more.response, label="Tree")
    assert picture_of(await newest(world, noa).attachments[0].read()).width > 300


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
