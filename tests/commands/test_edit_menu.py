"""*Apps → Edit image* on a simulated Discord."""

from __future__ import annotations

import pytest

from bot.playground.world import World
from tests.helpers.pictures import CHANGED, newest, photo, seen_in


@pytest.mark.pictures
async def test_right_click_on_anybodys_picture(world: World) -> None:
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    posted = await noa.send(world.channel, "look", attachments=[("a.png", photo()), ("b.png", photo(colour="purple"))])
    shown = await world.member.context_menu(world.channel, "Edit image", posted)
    assert shown.modal is not None
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9", "which": ["2"]})
    edited = newest(world)
    assert f"edit of {posted.jump_url}" in edited.content
    assert await seen_in(edited) == ("circle", "green", "blue")
    empty = await noa.send(world.channel, "no picture")
    answered = await world.member.context_menu(world.channel, "Edit image", empty)
    assert answered.response.content == "There is no picture in that message."
    assert len(world.env.errors) == 1
