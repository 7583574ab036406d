"""``/tree`` on a simulated Discord."""

from __future__ import annotations

from bot.playground.world import World
from tests.helpers.pictures import drawn


async def test_tree_of_the_newest_here(world: World) -> None:
    await drawn(world)
    answered = await world.member.slash(world.channel, "tree")
    assert answered.ephemeral
    assert answered.response.attachments
