"""Replies and mentions: what is taken for an edit, and what is left alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.replies import asked_for
from bot.playground.world import World, watch
from tests.helpers.pictures import CHANGED, PROMPT, drawn, newest, photo, rows, seen_in
from tests.helpers.typing_members import types
from tests.helpers.worlds import OpenWorld

ME = 42


@pytest.mark.parametrize(
    ("content", "places", "wanted"),
    [
        ("/edit make it night", {"to_result"}, "make it night"),
        ("edit: make it night", {"to_result"}, "make it night"),
        ("edit: + at night", {"to_result"}, "+ at night"),
        ("Edit make it night", {"to_result"}, "make it night"),
        ("make it night --strength 0.5", {"to_result"}, "make it night --strength 0.5"),
        ("<@42> make it night", {"to_result"}, "make it night"),
        ("<@!42>   make it <@42> night", set(), "make it night"),
        ("<@42> /edit make it night", set(), "make it night"),
        ("lol nice", {"to_result"}, None),
        ("editors are people", {"to_result"}, None),
        ("edit make it night", set(), None),
        ("make it night --strength 0.5", set(), None),
        ("lol nice", {"to_result", "every_reply"}, "lol nice"),
        ("", {"to_result", "every_reply"}, None),
        ("<@42>", set(), ""),
        ("/edit", {"to_result"}, ""),
        ("make it night", {"direct"}, "make it night"),
        ("<@43> make it night", set(), None),
    ],
)
def test_what_a_message_asks_for(content: str, places: set[str], wanted: str | None) -> None:
    told = {place: place in places for place in ("to_result", "every_reply", "direct")}
    assert asked_for(content, ME, **told) == wanted


@given(st.text(max_size=200))
def test_talk_without_a_mention_is_left_alone(content: str) -> None:
    if "42" not in content:
        assert asked_for(content, ME, to_result=False, every_reply=False, direct=False) is None


@pytest.fixture
async def readable(world_of: OpenWorld) -> AsyncIterator[World]:
    """A world in which the message-content intent is granted."""
    async with world_of(message_content_intent=True) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _soon_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals to messages remove themselves; a test need not wait as long as people need to read them."""
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 0.5)


@pytest.mark.parametrize("text", ["edit: {}", "{} --strength 0.9", "{mention} {}"])
async def test_replying_to_a_result_edits_it(world: World, text: str) -> None:
    result = await drawn(world)
    await types(world, text.format(CHANGED, mention=f"<@{world.env.bot.user.id}>"), result)
    edited = newest(world)
    assert f"edit of {result.jump_url}" in edited.content
    (_, job) = await rows(world, "SELECT kind, scope_id, result_message_id FROM jobs ORDER BY id")
    assert (job["kind"], job["scope_id"], job["result_message_id"]) == ("edit", world.channel.guild.id, edited.id)


async def test_a_slash_reply_that_does_arrive_is_an_edit(world: World) -> None:
    """Discord's own clients make a command of it; other programs may send it as a message."""
    result = await drawn(world)
    await say(world, f"/edit {CHANGED}", reply_to=result)
    assert f"edit of {result.jump_url}" in newest(world).content


@pytest.mark.parametrize("text", ["edit: + at night", "{mention} + at night"])
async def test_a_plus_adds_to_the_prompt_of_the_picture(world: World, text: str) -> None:
    result = await drawn(world)
    await types(world, text.format(mention=f"<@{world.env.bot.user.id}>"), result)
    (_, job) = await rows(world, "SELECT json_extract(spec, '$.prompt') AS prompt FROM jobs ORDER BY id")
    assert job["prompt"] == f"{PROMPT}, at night"


@pytest.mark.parametrize("text", ["lol nice", "nice, but the editors …", "-- what a picture"])
async def test_talk_under_a_result_is_left_alone(world: World, text: str) -> None:
    result = await drawn(world)
    before = len(world.channel.history())
    await say(world, text, reply_to=result)
    assert len(world.channel.history()) == before + 1, "nothing but what the member said"


async def test_where_the_server_wants_it_every_reply_is_an_edit(world: World) -> None:
    result = await drawn(world)
    told = await admin(world).slash(world.channel, "admin settings", replies_as_edits="on")
    assert told.ephemeral
    assert "every reply to one of my pictures is an edit" in told.response.content
    await say(world, CHANGED, reply_to=result)
    assert f"edit of {result.jump_url}" in newest(world).content


@pytest.mark.pictures
async def test_a_mention_with_a_picture_of_ones_own(world: World) -> None:
    mention = f"<@{world.env.bot.user.id}>"
    await say(world, f"{mention} {CHANGED} --strength 0.9 --seed 1", attachments=[("p.png", photo())])
    assert await seen_in(newest(world)) == ("circle", "green", "blue")


@pytest.mark.pictures
@pytest.mark.parametrize(("status", "code"), [(403, 160002), (400, 50035), (404, 10008)])
async def test_where_a_message_cannot_be_replied_to_the_answer_is_sent_without(
    world: World, status: int, code: int
) -> None:
    world.env.inject_error("POST", "/channels/*/messages", status=status, code=code)
    mention = f"<@{world.env.bot.user.id}>"
    await say(world, f"{mention} {CHANGED} --strength 0.9 --seed 1", attachments=[("p.png", photo())])
    assert await seen_in(newest(world)) == ("circle", "green", "blue")


async def test_without_the_intent_somebodys_picture_cannot_be_seen_in_a_reply(world: World) -> None:
    mention = f"<@{world.env.bot.user.id}>"
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    posted = await noa.send(world.channel, "look", attachments=[("p.png", photo())])
    answers = await answers_to(world, f"{mention} {CHANGED}", reply_to=posted)
    assert any("right-click it (on a phone: hold it) → Apps → **Edit image**" in answer for answer in answers)


@pytest.mark.pictures
async def test_with_the_intent_somebodys_picture_can_be_edited(readable: World) -> None:
    mention = f"<@{readable.env.bot.user.id}>"
    noa = readable.channel.guild.add_member(readable.env.create_user("noa"))
    posted = await noa.send(readable.channel, "look", attachments=[("p.png", photo())])
    await say(readable, f"{mention} {CHANGED} --strength 0.9 --seed 1", reply_to=posted)
    assert f"edit of {posted.jump_url}" in newest(readable).content
    assert await seen_in(newest(readable)) == ("circle", "green", "blue")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<@ME> edit:", "Say what the picture shows afterwards"),
        ("<@ME> edit: make it night", "I see no picture to edit"),
    ],
)
async def test_a_refusal_is_a_short_reply_that_removes_itself(world: World, text: str, sentence: str) -> None:
    answers = await answers_to(world, text.replace("ME", str(world.env.bot.user.id)))
    assert any(sentence in answer for answer in answers)
    (message,) = world.channel.history()
    assert message.author.id == world.member.id
    assert await rows(world, "SELECT id FROM jobs") == []


async def test_a_reply_cannot_be_answered_privately_and_says_what_can(world: World) -> None:
    result = await drawn(world)
    answers = await answers_to(world, f"edit: {CHANGED} --private", reply_to=result)
    assert any("For a picture that only you see use /edit" in answer for answer in answers)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_in_direct_messages_every_answer_is_private(world: World) -> None:
    user = world.member.user
    stored = world.env.backend.store_attachments(user.dm_channel.id, [("p.png", photo())])
    await user.send_dm(f"{CHANGED} --private", attachments=stored)
    assert await rows(world, "SELECT state FROM jobs") == [{"state": "delivered"}]


async def test_a_reply_with_a_flag_of_midjourney_is_answered(world: World) -> None:
    result = await drawn(world)
    answers = await answers_to(world, f"{CHANGED} --v 7 --strength 9", reply_to=result)
    assert any("`--v` works in Midjourney, not here. `--strength` takes a number from 0.05 to 1" in a for a in answers)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_flags_are_read_once(readable: World) -> None:
    """Without its flag the text is "a red circle –no: x", which reads as if it had another one."""
    result = await drawn(readable)
    await readable.member.send(readable.channel, "edit: a red circle –seed 5,–no: x", reply_to=result)
    (spec,) = [row["spec"] for row in await rows(readable, "SELECT spec FROM jobs WHERE kind = 'edit'")]
    assert (json.loads(spec)["seed"], json.loads(spec)["prompt"]) == (5, "a red circle –no: x")


async def test_several_pictures_need_a_number(world: World) -> None:
    result = await drawn(world, count=2)
    answers = await answers_to(world, f"edit: {CHANGED}", reply_to=result)
    assert any(
        "has 2 pictures: press the number of the one you mean, or add `--image 2`" in answer for answer in answers
    )
    await say(world, f"edit: {CHANGED} --image 2", reply_to=result)
    (job,) = await rows(world, "SELECT parent_image_id FROM jobs WHERE kind = 'edit'")
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images WHERE job_id = 1 ORDER BY position")]
    assert job["parent_image_id"] == ids[1]


async def test_in_direct_messages_a_picture_and_a_text_are_enough(world: World) -> None:
    user = world.member.user
    stored = world.env.backend.store_attachments(user.dm_channel.id, [("p.png", photo())])
    await user.send_dm(f"{CHANGED} --strength 0.9", attachments=stored)
    (job,) = await rows(world, "SELECT kind, scope_id, guild_id, state FROM jobs")
    assert job == {"kind": "edit", "scope_id": 0, "guild_id": None, "state": "delivered"}


async def test_bots_are_not_answered(world: World) -> None:
    result = await drawn(world)
    robot = world.channel.guild.add_member(world.env.create_user("robot", bot=True))
    await robot.send(world.channel, f"<@{world.env.bot.user.id}> {CHANGED}", reply_to=result)
    assert len(await rows(world, "SELECT id FROM jobs")) == 1


@pytest.mark.parametrize(("value", "allowed"), [("own", False), ("results", True), ("all", True)])
async def test_the_server_says_whose_pictures_may_be_edited(world: World, value: str, *, allowed: bool) -> None:
    result = await drawn(world)
    await admin(world).slash(world.channel, "admin settings", edit_images_of=value)
    noa = world.channel.guild.add_member(world.env.create_user("noa"))
    answers = await answers_to(world, f"edit: {CHANGED}", noa, reply_to=result)
    assert (len(await rows(world, "SELECT id FROM jobs")) == 2) is allowed
    assert any("members edit their own pictures only" in answer for answer in answers) is not allowed


async def test_an_original_that_is_deleted_meanwhile(world: World) -> None:
    result = await drawn(world)
    world.env.backend.delete_message(world.channel.id, result.id)
    await world.env.settle()
    (image,) = await rows(world, "SELECT id FROM images")
    answered = await world.member.slash(world.channel, "edit", prompt=CHANGED, source=image["id"])
    assert answered.response.content == f"This picture was deleted.\n``{CHANGED}``"
    assert len(world.env.errors) == 1


async def answers_to(world: World, text: str, member: Any = None, **more: Any) -> list[str]:
    """All that the bot said meanwhile, what is gone again too."""
    said: list[str] = []
    watcher = asyncio.create_task(watch(world, said.append))
    await (member or world.member).send(world.channel, text, **more)
    watcher.cancel()
    return said


async def say(world: World, text: str, **more: Any) -> discord.Message:
    return await world.member.send(world.channel, text, **more)


def admin(world: World) -> Any:
    guild = world.channel.guild
    role = guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
    return guild.add_member(world.env.create_user("ada"), roles=[role])


async def test_the_settings_are_for_admins_and_show_what_holds(world: World) -> None:
    assert "admin settings" not in world.member.available_commands(world.channel)
    told = await admin(world).slash(world.channel, "admin settings")
    assert "**replies_as_edits**: off" in told.response.content
    assert "**edit_images_of**: all" in told.response.content
