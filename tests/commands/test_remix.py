"""Remix under a result, and [Edit request] under a job that failed or was cancelled, on a simulated Discord."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from bot.playground.world import World
from tests.helpers.buttons import button_labels, filled_in
from tests.helpers.faults import Faulty
from tests.helpers.job_worlds import change
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows, seen_in
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import EngineError, Unit


async def test_a_result_is_remixed_by_anybody_who_sees_it(world: World) -> None:
    result = await drawn(world, aspect="5:3", steps=4, count=2)
    await restart(world)
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    shown = await noa.click(result, label="Remix")
    assert shown.modal["title"] == "Remix"
    fields = filled_in(shown)
    assert fields == {"prompt": PROMPT, "flags": "--size 320x192 --count 2 --steps 4", "private": ["settings"]}
    await noa.submit_modal(shown, {**fields, "prompt": CHANGED})
    remixed = newest(world)
    assert f"<@{noa.id}>" in remixed.content
    assert "320×192 · 4 steps" in remixed.content
    assert "seeds 3, 4" not in remixed.content, "it has a seed of its own"
    assert len(remixed.attachments) == 2


@pytest.mark.pictures
async def test_an_edit_is_remixed_from_the_same_original(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo()), strength=0.9)
    shown = await world.member.click(newest(world), label="Remix")
    assert filled_in(shown)["flags"] == "--size 256x256 --strength 0.9"
    await world.member.submit_modal(
        shown, {"prompt": "a purple circle on a blue background", "flags": "--strength 0.9", "private": ["no"]}
    )
    assert await seen_in(newest(world)) == ("circle", "purple", "blue")
    first, second = await rows(world, "SELECT kind, json_extract(spec, '$.source') AS original FROM jobs ORDER BY id")
    assert first == second


async def test_what_is_made_of_a_private_edit_stays_private(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("p.png", photo()), private=True)
    shown = await world.member.click(newest(world), label="Remix")
    assert filled_in(shown)["private"] == ["yes"]
    await world.member.submit_modal(shown, {**filled_in(shown), "private": ["no"]})
    assert newest(world).flags.ephemeral
    assert await rows(world, "SELECT DISTINCT visibility FROM jobs") == [{"visibility": "private"}]


async def test_a_picture_that_was_deleted_is_not_remixed(world: World) -> None:
    result = await drawn(world)
    shown = await world.member.click(result, label="Remix")
    await change(world, "UPDATE images SET state = 'deleted', file = NULL")
    answered = await world.member.click(result, label="Remix")
    assert answered.response.content == "The pictures of this message were deleted."
    await world.member.submit_modal(shown, filled_in(shown))
    assert newest(world).attachments, "the words are still good for a new picture"


async def test_the_request_of_a_failed_job_can_be_edited_by_its_owner_alone(world_of: OpenWorld) -> None:
    broken = partial(Faulty, unit=Unit.DECODE, error=EngineError("The picture could not be decoded."))
    async with world_of(broken) as world:
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, seed=5, steps=4)
        (card,) = world.channel.history()
        assert PROMPT in card.content
        assert "could not be decoded" in card.content
        assert button_labels(card) == ["Edit request"]
        noa = world.channel.guild.add_member(world.env.create_user("noa"))
        answered = await noa.click(card, label="Edit request")
        assert answered.response.content == "Only the member who asked for this picture can edit the request."
        shown = await world.member.click(card, label="Edit request")
        assert filled_in(shown) == {
            "prompt": PROMPT,
            "flags": "--size 256x256 --seed 5 --steps 4",
            "private": ["settings"],
        }


async def test_the_request_of_a_cancelled_job_can_be_edited_after_a_restart(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    async with world_of(partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)) as world:
        await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=4))
        await until(entered.is_set)
        (card,) = world.channel.history()
        await leave_running(world, world.member.click(card, label="Cancel"))
        gate.set()
        await until(lambda: button_labels(world.channel.history()[0]) == ["Edit request"])
        await restart(world)
        shown = await world.member.click(world.channel.history()[0], label="Edit request")
        await world.member.submit_modal(shown, {"prompt": CHANGED, "flags": "--seed 9", "private": ["no"]})
        assert "seed 9 " in newest(world).content
        await change(world, "UPDATE jobs SET spec = json_replace(spec, '$.prompt', '')")
        late = await world.member.click(world.channel.history()[0], label="Edit request")
        assert late.response.content.startswith("This request is no longer kept: ")
