"""``/details`` on a simulated Discord."""

from __future__ import annotations

import pytest

from bot.media.metadata import shrink
from bot.playground.world import World
from tests.helpers.pictures import CHANGED, drawn, newest, photo, seen_in
from tests.helpers.worlds import restart


@pytest.mark.pictures
async def test_details_of_a_file_offers_again_and_edit(world: World) -> None:
    result = await drawn(world)
    data = await result.attachments[0].read()
    answered = await world.member.slash(world.channel, "details", image=("mine.png", data))
    told = answered.response
    assert "--seed 3" in told.content
    labels = [child.label for row in told.message.components for child in row.children]
    assert labels == ["Again", "Edit"]
    await restart(world, sketches=False)
    await world.member.click(told.message, label="Again")
    assert await seen_in(newest(world)) == ("circle", "red", "blue")
    shown = await world.member.click(told.message, label="Edit")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    assert await seen_in(newest(world)) == ("circle", "green", "blue")


@pytest.mark.pictures
async def test_details_of_a_picture_that_was_too_large_and_became_a_webp(world: World) -> None:
    result = await drawn(world)
    webp, suffix = shrink(await result.attachments[0].read() + bytes(10**6), 10**6)
    assert suffix == "webp"
    answered = await world.member.slash(world.channel, "details", image=("mine.webp", webp))
    assert "--seed 3" in answered.response.content
    await world.member.click(answered.response.message, label="Again")
    assert await seen_in(newest(world)) == ("circle", "red", "blue")


async def test_details_of_a_file_without_any(world: World) -> None:
    answered = await world.member.slash(world.channel, "details", image=("photo.png", photo()))
    assert answered.ephemeral
    assert answered.response.content or answered.followups[0].content
    assert world.env.errors, "a refusal"
