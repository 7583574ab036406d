"""``/settings``: set, shown, reset, and used for new pictures."""

from __future__ import annotations

from bot.playground.world import World
from tests.helpers.pictures import CHANGED, PROMPT, newest, photo, picture_of, rows


async def test_settings_are_shown_set_and_reset(world: World) -> None:
    answered = await world.member.slash(world.channel, "settings")
    assert answered.ephemeral
    assert "**aspect**: 1:1 (default)\n**size**: medium (default)" in answered.response.content
    answered = await world.member.slash(world.channel, "settings", aspect="3:2", count=2, private=True)
    assert "**aspect**: 3:2\n**size**: medium (default)\n**count**: 2\n**private**: on" in answered.response.content
    answered = await world.member.slash(world.channel, "settings", reset=True, size="large")
    assert "**aspect**: 1:1 (default)\n**size**: large\n**count**: 1 (default)" in answered.response.content
    assert await rows(world, "SELECT name, value FROM member_settings") == [{"name": "size", "value": "large"}]


async def test_a_picture_takes_its_shape_from_the_settings_and_an_option_wins(world: World) -> None:
    await world.member.slash(world.channel, "settings", aspect="5:3", private=True)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.ephemeral
    assert picture_of(await newest(world).attachments[0].read()).size == (320, 192)
    await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT} --ar 1:1", private=False)
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    (public,) = world.channel.history(viewer=noa)
    assert picture_of(await public.attachments[0].read()).size == (256, 256)
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()))
    assert picture_of(await newest(world).attachments[0].read()).size == (256, 256)
    assert len(world.channel.history(viewer=noa)) == 1
