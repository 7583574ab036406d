"""The buttons under a result, and the edit form, on a simulated Discord."""

from __future__ import annotations

import pytest

from bot.playground.world import World
from bot.views.results import RESULT_ITEMS
from tests.helpers.credits import answer_text
from tests.helpers.job_worlds import HeldUp
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, picture_of, rows, seen_in
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import Unit


async def test_the_row_under_a_result(world: World) -> None:
    result = await drawn(world)
    labels = [child.label for row in result.components for child in row.children]
    assert labels == ["Edit", "Vary", "Upscale", "Again", "Remix", "More…"]


async def test_the_edit_button_asks_and_draws_even_after_a_restart(world: World) -> None:
    result = await drawn(world)
    await restart(world)
    shown = await world.member.click(result, label="Edit")
    assert shown.modal is not None
    await restart(world)
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0,9"})
    edited = newest(world)
    assert edited.id != result.id
    assert "strength 0.9" in edited.content
    assert f"edit of {result.jump_url}" in edited.content


@pytest.mark.parametrize("field", ["0.6", "much"])
async def test_a_flag_in_the_form_wins_over_the_field_beside_it(world: World, field: str) -> None:
    result = await drawn(world)
    shown = await world.member.click(result, label="Edit")
    await world.member.submit_modal(
        shown, {"prompt": f"{CHANGED} --strength 0.9 --seed 5 --private", "strength": field}
    )
    edited = newest(world)
    assert "strength 0.9" in edited.content
    assert "seed 5" in edited.content
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    assert [message.id for message in world.channel.history(viewer=stranger)] == [result.id]


@pytest.mark.parametrize("strength", ["much", "0", "7", "nan"])
async def test_a_strength_that_is_none_is_named(world: World, strength: str) -> None:
    result = await drawn(world)
    shown = await world.member.click(result, label="Edit")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": strength})
    assert "trength" in newest(world).content
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


@pytest.mark.pictures
async def test_again_is_the_same_with_another_seed(world: World) -> None:
    result = await drawn(world)
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    await stranger.click(result, label="Again")
    first, second = await rows(world, "SELECT spec, owner_id, kind FROM jobs ORDER BY id")
    assert second["kind"] == "again"
    assert second["owner_id"] == stranger.id, "who clicks asks, and pays"
    assert first["spec"] != second["spec"]
    assert await seen_in(newest(world)) == ("circle", "red", "blue")


async def test_the_first_click_counts_and_others_are_silent_for_three_seconds_from_it(world: World) -> None:
    result = await drawn(world)
    await world.member.click(result, label="Again")
    before = len(world.channel.history(viewer=world.member))
    for _ in range(2):  # the second of them restarts no pause
        await world.env.advance_time(1.4)
        answered = await world.member.click(result, label="Again")
        assert answered.deferred, "it is answered without a message"
    assert len(await rows(world, "SELECT id FROM jobs")) == 2
    assert len(world.channel.history(viewer=world.member)) == before
    await world.env.advance_time(0.4)
    await world.member.click(result, label="Again")
    assert len(await rows(world, "SELECT id FROM jobs")) == 3


async def test_the_same_picture_is_not_upscaled_twice_at_once(world_of: OpenWorld) -> None:
    device = HeldUp(Unit.ENCODE_IMAGE)
    async with world_of(device.wrap) as world:
        result = await drawn(world)
        await leave_running(world, world.member.click(result, label="Upscale"))
        await until(device.entered.is_set)
        world.env.bot.parts.result_actions._clicks.clear()
        await leave_running(world, world.member.click(result, label="Upscale"))
        await until(lambda: newest(world).content == "Already on it: this picture is being upscaled for you.")
        device.gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        world.env.bot.parts.result_actions._clicks.clear()
        await world.member.click(result, label="Upscale")
        assert [row["kind"] for row in await rows(world, "SELECT kind FROM jobs ORDER BY id")] == [
            "imagine",
            "upscale",
            "upscale",
        ]
        assert world.env.errors is not None


async def test_again_of_an_edit_starts_from_the_same_source(world: World) -> None:
    await world.member.slash(world.channel, "edit", prompt=CHANGED, image=("photo.png", photo()), strength=0.9)
    edited = newest(world)
    await world.member.click(edited, label="Again")
    first, second = await rows(world, "SELECT json_extract(spec, '$.source') AS source FROM jobs ORDER BY id")
    assert first == second
    assert first["source"]


@pytest.mark.parametrize(("how", "strength"), [("Subtle", 0.4), ("Strong", 0.8)])
async def test_vary_asks_how_much(world: World, how: str, strength: float) -> None:
    result = await drawn(world)
    asked = await world.member.click(result, label="Vary")
    assert asked.ephemeral
    await world.member.click(asked.response.message, label=how)
    varied = newest(world)
    assert f"strength {strength}" in varied.content
    assert f"\n-# {how.lower()} variation of {result.jump_url}" in varied.content
    (_, job) = await rows(world, "SELECT kind, json_extract(spec, '$.prompt') AS prompt FROM jobs ORDER BY id")
    assert job == {"kind": "vary", "prompt": PROMPT}


async def test_upscale_doubles_and_stops_at_the_models_limit(world: World) -> None:
    result = await drawn(world)
    await world.member.click(result, label="Upscale")
    large = newest(world)
    assert f"\n-# upscaled from {result.jump_url}" in large.content
    assert picture_of(await large.attachments[0].read()).size == (512, 512)
    await world.member.click(large, label="Upscale")
    larger = newest(world)
    assert picture_of(await larger.attachments[0].read()).size == (640, 640)
    answered = await world.member.click(larger, label="Upscale")
    assert "already as large as Z-Image demo can make it: 640×640" in answered.response.content


async def test_with_several_images_the_next_step_asks_which(world: World) -> None:
    result = await drawn(world, count=3)
    asked = await world.member.click(result, label="Edit")
    assert asked.response.content == "Which picture?"
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    shown = await world.member.select(asked.response.message, [ids[1]])
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    (job,) = await rows(world, "SELECT parent_image_id FROM jobs WHERE kind = 'edit'")
    assert job["parent_image_id"] == ids[1]


async def test_forged_custom_ids_end_in_a_sentence(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    result = await drawn(world)
    (secret, _) = await rows(world, "SELECT images.id, job_id FROM images ORDER BY job_id")
    stranger = world.channel.guild.add_member(world.env.create_user("noa"))
    for custom_id in (f"zib:details:i{secret['id']}", f"zib:again:j{secret['job_id']}", "zib:edit:i000000000000"):
        matching = [item for item in RESULT_ITEMS if item.__discord_ui_compiled_template__.match(custom_id)]
        assert len(matching) == (0 if ":edit:i" in custom_id else 1)
    stored = world.env.backend.messages[world.channel.id][result.id]
    for row in stored.components:
        for child in row["components"]:
            child["custom_id"] = child["custom_id"].rpartition(":j")[0] + f":j{secret['job_id']}"
    for label in ("Edit", "Vary", "Again", "Upscale", "More…"):
        answered = await stranger.click(result, label=label)
        assert answered.response.content == "There is no such picture here."


async def test_again_keeps_to_the_member_s_own_settings(world: World) -> None:
    result = await drawn(world)
    await answer_text(world, world.member, "settings", private=True)
    await world.member.click(result, label="Again")
    assert len(world.channel.history()) == 1, "the new one is for the member alone"
    assert "With private from your /settings." in newest(world).content
