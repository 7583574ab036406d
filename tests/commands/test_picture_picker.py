"""``/edit`` without a picture: which ones may be meant, and the question which one it is."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest

from bot.playground.world import World, watch
from tests.helpers.credits import credits_in_use
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, picture_of, png, rows, seen_in
from tests.helpers.typing_members import types
from tests.helpers.waiting import until
from tests.helpers.worlds import restart


async def ids_of(world: World, job_id: int = 1) -> list[str]:
    found = await rows(world, "SELECT id, job_id FROM images ORDER BY position")
    return [row["id"] for row in found if row["job_id"] == job_id]


async def parents(world: World) -> list[str]:
    return [row["parent_image_id"] for row in await rows(world, "SELECT parent_image_id FROM jobs WHERE kind = 'edit'")]


def offered(message: Any) -> list[str]:
    """Return the ids of the images that a question offers, in order."""
    custom_ids = [child.custom_id for row in message.components for child in row.children]
    return [custom_id.split(":")[1].removeprefix("pick-") for custom_id in custom_ids][:-1]


def stranger_of(world: World) -> Any:
    return world.channel.guild.add_member(world.env.create_user("noa"))


async def ask(world: World, member: Any = None, **options: Any) -> Any:
    return await (member or world.member).slash(world.channel, "edit", **({"prompt": CHANGED} | options))


@pytest.mark.pictures
async def test_a_typed_slash_reply_asks_which_of_four_pictures_before_it_charges(world: World) -> None:
    result = await drawn(world, count=4)
    spent = await credits_in_use(world)
    asked = await types(world, f"/edit {CHANGED} --strength 0.9 --seed 1", result)
    assert asked.ephemeral
    assert CHANGED in asked.response.content
    assert "Nothing is charged before you choose" in asked.response.content
    assert offered(asked.response.message) == await ids_of(world)
    assert await credits_in_use(world) == spent
    assert len(world.channel.history()) == 1, "others see nothing of the question"
    await world.member.click(asked.response, label="2")
    assert await parents(world) == [(await ids_of(world))[1]]
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    assert "strength 0.9" in newest(world).content
    assert "seed 1 " in newest(world).content
    assert len(world.channel.history(viewer=world.member)) == 2, "the question is gone"


async def test_the_question_shows_the_pictures_with_their_numbers(world: World) -> None:
    await drawn(world, count=4)
    asked = await ask(world)
    (sheet,) = asked.response.attachments
    picture = picture_of(await sheet.read())
    assert picture.width < picture.height * 1.1, "four pictures stand two by two, for a phone"
    assert sheet.description.startswith(f"1: seed 3 · {PROMPT}; 2: seed 4 · ")
    styles = [child.style for row in asked.response.message.components for child in row.children]
    assert styles[0] is discord.ButtonStyle.primary, "the newest one is emphasised"
    assert set(styles[1:]) == {discord.ButtonStyle.secondary}


async def test_pictures_of_several_messages_are_offered_the_newest_message_first(world: World) -> None:
    await drawn(world)
    stranger = stranger_of(world)
    await stranger.slash(world.channel, "imagine", prompt=PROMPT, count=2)
    await drawn(world)
    asked = await ask(world)
    assert offered(asked.response.message) == [*await ids_of(world, 3), *await ids_of(world, 2), *await ids_of(world)]


async def test_a_single_recent_picture_is_taken_and_shown_on_the_card(world: World) -> None:
    await drawn(world)
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE jobs SET ended_at = 5"))
    recent = await drawn(world)
    service, said = world.env.bot.jobs, list[str]()
    service.pause(world.channel.guild.id)
    watching = asyncio.create_task(watch(world, said.append))
    await ask(world)
    await until(lambda: any(map(service.is_waiting, service.active)))
    watching.cancel()
    card = newest(world)
    assert [attachment.filename for attachment in card.attachments] == ["picture.webp"]
    assert picture_of(await card.attachments[0].read()).size == (256, 256)
    assert f"edit of {recent.jump_url}" in card.content
    assert any("No picture was named: this is your newest one here (seed 3)." in text for text in said)
    assert await parents(world) == await ids_of(world, 2), "the older one is not recent"


async def test_where_nothing_is_recent_older_pictures_are_offered(world: World) -> None:
    await drawn(world)
    await drawn(world)
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE jobs SET ended_at = 5"))
    assert len(offered((await ask(world)).response.message)) == 2


async def test_at_most_nine_are_offered_and_others_have_three_of_them(world: World) -> None:
    stranger = stranger_of(world)
    await stranger.slash(world.channel, "imagine", prompt=PROMPT, count=4, steps=1)
    for _ in range(3):
        await drawn(world, count=4, steps=1)
    found = offered((await ask(world)).response.message)
    assert len(found) == 9
    assert set(found) & set(await ids_of(world, 1)) == set((await ids_of(world, 1))[:3])


async def test_what_a_member_may_not_see_or_edit_is_never_offered(world: World) -> None:
    stranger, guild = stranger_of(world), world.channel.guild
    await stranger.slash(world.channel, "imagine", prompt=PROMPT, private=True, steps=1)
    elsewhere = guild.create_text_channel("elsewhere")
    await world.member.slash(elsewhere, "imagine", prompt=PROMPT, steps=1)
    await drawn(world, steps=1)
    deleted = newest(world)
    await drawn(world, count=2, steps=1)
    world.env.backend.delete_message(world.channel.id, deleted.id)
    await world.env.settle()
    assert offered((await ask(world)).response.message) == await ids_of(world, 4)


async def test_where_members_edit_their_own_pictures_only_others_are_not_offered(world: World) -> None:
    await stranger_of(world).slash(world.channel, "imagine", prompt=PROMPT, count=2, steps=1)
    await drawn(world, count=2, steps=1)
    role = world.channel.guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
    admin = world.channel.guild.add_member(world.env.create_user("ada"), roles=[role])
    await admin.slash(world.channel, "admin settings", edit_images_of="own")
    assert offered((await ask(world)).response.message) == await ids_of(world, 2)


async def test_the_member_s_own_private_picture_may_be_meant_and_stays_private(world: World) -> None:
    await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
    await ask(world)
    assert world.channel.history(viewer=stranger_of(world)) == []
    assert await parents(world) == await ids_of(world)


async def test_nobody_answers_the_question_of_another(world: World) -> None:
    result = await drawn(world, count=2)
    asked = await ask(world)
    forged = asked.response.message.components[0].children[0].custom_id
    stored = world.env.backend.messages[world.channel.id][result.id]
    stored.components[0]["components"][0]["custom_id"] = forged
    answered = await stranger_of(world).click(result, custom_id=forged)
    assert answered.response.content == "Only the member who was asked can answer this."
    assert await parents(world) == []


async def test_a_picture_that_is_deleted_meanwhile_leaves_the_others(world: World) -> None:
    first = await drawn(world)
    await drawn(world)
    asked = await ask(world)
    world.env.backend.delete_message(world.channel.id, first.id)
    await world.env.settle()
    refused = await world.member.click(asked.response, label="2")
    assert "This picture was deleted." in refused.response.content
    await world.member.click(asked.response, label="1")
    assert await parents(world) == await ids_of(world, 2)


async def test_cancel_and_a_new_question_leave_nothing_behind(world: World) -> None:
    await drawn(world, count=2)
    await ask(world)
    asked = await ask(world)
    assert len(world.channel.history(viewer=world.member)) == 2, "the older question is gone"
    await world.member.click(asked.response, label="Cancel")
    assert len(world.channel.history(viewer=world.member)) == 1
    assert await parents(world) == []


async def test_without_a_prompt_the_form_follows_the_choice_and_keeps_the_options(world: World) -> None:
    result = await drawn(world, count=2)
    asked = await types(world, "/edit", result)
    shown = await world.member.click(asked.response, label="2")
    await world.member.submit_modal(shown, {"prompt": CHANGED, "strength": "0.9"})
    assert await parents(world) == [(await ids_of(world))[1]]
    assert len(world.channel.history(viewer=world.member)) == 2, "the question is gone"
    mask = ("mask.png", png(picture_of(photo()).point(lambda value: 255)))
    asked = await ask(world, prompt="", source=result.jump_url, seed=77, strength=0.5, mask=mask, private=True)
    shown = await world.member.click(asked.response, label="1")
    fields = {label["component"]["custom_id"]: label["component"] for label in shown.modal["components"]}
    assert [option["value"] for option in fields["private"]["options"] if option["default"]] == ["yes"]
    filled = {"prompt": CHANGED, "flags": fields["flags"]["value"], "private": ["yes"]}
    await world.member.submit_modal(shown, filled)
    assert len(world.channel.history(viewer=world.member)) == 3
    edited = newest(world)
    assert "seed 77" in edited.content
    assert "strength 0.5" in edited.content
    assert edited.flags.ephemeral
    (job,) = await rows(world, "SELECT json_extract(spec, '$.mask') AS mask FROM jobs WHERE visibility = 'private'")
    assert job["mask"]


@pytest.mark.pictures
@pytest.mark.parametrize("options", [{}, {"image": ("photo.png", photo())}])
async def test_without_a_prompt_one_picture_opens_the_form_at_once(world: World, options: dict[str, Any]) -> None:
    await drawn(world)
    shown = await ask(world, prompt="", **options)
    field = {"flags": "--strength 0.9", "private": ["settings"]} if options else {"strength": "0.9"}
    await world.member.submit_modal(shown, {"prompt": CHANGED} | field)
    assert await seen_in(newest(world)) == ("circle", "green", "blue")
    assert await parents(world) == [None if options else (await ids_of(world))[0]]


async def test_a_link_to_several_pictures_asks_which_and_a_flag_answers(world: World) -> None:
    result = await drawn(world, count=4)
    await drawn(world)
    asked = await ask(world, source=result.jump_url)
    assert offered(asked.response.message) == await ids_of(world)
    await ask(world, prompt=f"{CHANGED} --image 2", source=result.jump_url)
    await ask(world, prompt=f"{CHANGED} --image 3")
    assert await parents(world) == (await ids_of(world))[1:3]


async def test_a_question_outlives_a_restart_and_its_draft_by_the_prompt(world: World) -> None:
    await drawn(world, count=2, steps=1)
    asked = await ask(world, strength=0.9)
    await restart(world)
    await world.member.click(asked.response, label="2")
    assert "strength 0.9" in newest(world).content
    assert await parents(world) == [(await ids_of(world))[1]]
    await world.env.bot.database.write(lambda connection: connection.execute("UPDATE drafts SET created_at = 5"))
    await world.member.click(asked.response, label="2")
    assert asked.response.content.startswith("This question has expired, and nothing was charged")
    assert CHANGED in asked.response.content
    assert not asked.response.components
    assert not asked.response.attachments
    assert len(await parents(world)) == 1


async def test_a_second_click_on_a_question_that_is_still_shown_has_no_effect(world: World) -> None:
    await drawn(world, count=2)
    asked = await ask(world, steps=1)
    world.env.bot.parts.pickers._asked.clear()  # as after a restart: nothing can remove the question's message
    await world.member.click(asked.response, label="1")
    await world.member.click(asked.response, label="2")
    assert await parents(world) == (await ids_of(world))[:1]


async def test_a_number_that_no_message_has_is_told_apart_from_no_picture(world: World) -> None:
    await drawn(world, count=2)
    asked = await ask(world, prompt=f"{CHANGED} --image 3")
    assert asked.response.content.startswith("None of the newest messages here has a picture 3: leave `--image` out")
    assert world.env.errors
