"""[Edit request] on a simulated Discord: what a member typed can be edited and asked for again."""

from __future__ import annotations

from bot.playground.world import World
from tests.helpers.pictures import PROMPT, newest, rows, seen_in


async def test_a_refused_request_is_repeated_edited_and_drawn(world: World) -> None:
    refused = await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT} --nope 1", seed=5, aspect="16:9")
    assert refused.ephemeral
    assert f"``{PROMPT} --nope 1 --ar 16:9 --seed 5``" in refused.response.content
    assert len(world.env.errors) == 1
    shown = await world.member.click(refused.response, label="Edit request")
    assert shown.modal is not None
    assert await rows(world, "SELECT * FROM jobs") == []
    await world.member.submit_modal(
        shown, {"prompt": PROMPT, "flags": "--ar 16:9 --seed 7 --steps 4", "private": ["no"]}
    )
    picture = newest(world)
    assert "seed 7 " in picture.content
    assert await seen_in(picture) == ("circle", "red", "blue")
