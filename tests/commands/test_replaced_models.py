"""Pictures and settings whose model the bot does not have any more, or whose model this member may not use here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import discord
import pytest

from bot.playground.world import World
from bot.store.member_settings import write_values
from tests.helpers.admins import admin_of, told
from tests.helpers.buttons import filled_in
from tests.helpers.credits import answer_text
from tests.helpers.pictures import CHANGED, PROMPT, newest, rows
from tests.helpers.worlds import OpenWorld, restart

PLAIN, GUIDED = "Z-Image demo", "Z-Image demo guided"
GONE, FORBIDDEN = "I do not have that model", "you may not use that model here"


@pytest.fixture(params=[GONE, FORBIDDEN])
async def replaced(world_of: OpenWorld, request: pytest.FixtureRequest) -> AsyncIterator[tuple[World, str, Any]]:
    """A bot with a picture whose model cannot be used any more; why, and the message of the picture."""
    async with world_of(profile="auto", profiles=("demo", "demo-guided")) as world:
        prompt = f"{PROMPT} --model demo-guided --guidance 2 --no blue"
        await world.member.slash(world.channel, "imagine", prompt=prompt, seed=3, steps=1)
        result = newest(world)
        await make_unusable(world, request.param)
        yield world, request.param, result


async def make_unusable(world: World, why: str) -> None:
    """Take the model demo-guided from the bot, or deny it to everyone in the server."""
    if why == GONE:
        await restart(world, profiles=(), profile="demo")
    else:
        await told(world, admin_of(world), "admin models deny", model="demo-guided")


async def made(world: World) -> tuple[str, str]:
    """Return the model of the newest job, and the text of the newest message."""
    assert world.env.errors is not None
    (job,) = await rows(world, "SELECT spec FROM jobs ORDER BY id DESC LIMIT 1")
    return json.loads(job["spec"])["model"], newest(world).content


async def press(world: World, result: discord.Message, *labels: str) -> Any:
    """Press the buttons one after the other, each in the answer to the one before."""
    shown: Any = await world.member.click(result, label=labels[0])
    for label in labels[1:]:
        shown = await world.member.click(shown.response or shown.edited, label=label)
    return shown


async def test_every_way_to_change_a_picture_says_which_model_it_uses_instead(
    replaced: tuple[World, str, discord.Message],
) -> None:
    world, why, result = replaced
    member, note = world.member, f"With {PLAIN} instead of “{GUIDED}”: {why}."
    before = len(await rows(world, "SELECT id FROM jobs"))

    async def expect(way: str) -> None:
        assert await made(world) == (PLAIN, newest(world).content), way
        assert f"-# {note}" in newest(world).content, way
        await world.env.advance_time(60)

    await member.send(world.channel, f"edit: {CHANGED} --steps 2", reply_to=result)
    await expect("reply")
    await member.send(world.channel, f"{world.env.bot.user.mention} {CHANGED} --steps 2", reply_to=result)
    await expect("mention")
    shown = await member.context_menu(world.channel, "Edit image", result)
    await member.submit_modal(shown, {"prompt": f"{CHANGED} --steps 2", "strength": "0.9"})
    await expect("right click")
    await member.slash(world.channel, "edit", prompt=CHANGED, source=result.jump_url, steps=2)
    await expect("/edit")
    shown = await press(world, result, "Edit")
    await member.submit_modal(shown, {"prompt": f"{CHANGED} --steps 2", "strength": "0.9"})
    await expect("Edit")
    for labels in (("Vary", "Strong"), ("Upscale",), ("Again",)):
        await press(world, result, *labels)
        await expect(labels[0])
    assert len(await rows(world, "SELECT id FROM jobs")) == before + 8


async def test_an_edit_is_made_again_by_another_model_from_the_same_original(
    replaced: tuple[World, str, discord.Message],
) -> None:
    world, why, result = replaced
    if why == FORBIDDEN:
        await told(world, admin_of(world, name="eve"), "admin models clear", model="demo-guided")
    else:
        await restart(world, profiles=("demo", "demo-guided"), profile="auto")
    await world.member.send(world.channel, f"edit: {CHANGED} --steps 2 --guidance 1", reply_to=result)
    edit = newest(world)
    await make_unusable(world, why)
    await press(world, edit, "Again")
    model, said = await made(world)
    assert model == PLAIN
    assert f"-# edit of {result.jump_url}\n-# With {PLAIN} instead of “{GUIDED}”: {why}." in said
    specs = [json.loads(row["spec"]) for row in await rows(world, "SELECT spec FROM jobs ORDER BY id")]
    assert specs[-1]["source"] == specs[-2]["source"]
    assert specs[-1]["guidance_scale"] == 0


async def test_remix_shows_in_the_form_which_model_it_is_filled_in_for(
    replaced: tuple[World, str, discord.Message],
) -> None:
    world, why, result = replaced
    shown = await press(world, result, "Remix")
    assert f"With {PLAIN} instead of “{GUIDED}”: {why}." in str(shown.modal)
    flags = filled_in(shown)["flags"]
    assert "--guidance" not in flags
    assert ("--model demo " in f"{flags} ") == (why == FORBIDDEN), "with one model there is no flag"
    await world.member.submit_modal(shown, {**filled_in(shown), "prompt": PROMPT, "private": ["no"]})
    assert (await made(world))[0] == PLAIN


async def test_details_say_which_model_would_be_used(replaced: tuple[World, str, discord.Message]) -> None:
    world, why, result = replaced
    note = f"-# **Again** and **Edit** use {PLAIN} instead of “{GUIDED}”: {why}."
    details = await press(world, result, "More…", "Details")
    assert note in (details.response or details.edited).content
    await world.env.advance_time(4)
    file = ("mine.png", await result.attachments[0].read())
    answered = await world.member.slash(world.channel, "details", image=file)
    if why == GONE:
        assert f"I do not have the model “{GUIDED}” of this picture, and {PLAIN} cannot" in answered.response.content
        assert world.env.errors is not None
        return
    assert note in answered.response.content
    await world.member.click(answered.response.message, label="Again")
    model, said = await made(world)
    assert (model, note.partition(": ")[2] in said) == (PLAIN, True)
    shown = await world.member.click(answered.response.message, label="Edit")
    await world.member.submit_modal(shown, {"prompt": f"{CHANGED} --steps 2", "strength": "0.9"})
    model, said = await made(world)
    assert (model, note.partition(": ")[2] in said) == (PLAIN, True)


async def test_a_named_model_that_may_not_be_used_is_refused(world_of: OpenWorld) -> None:
    async with world_of(profile="auto", profiles=("demo", "demo-guided")) as world:
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
        result = newest(world)
        await make_unusable(world, FORBIDDEN)
        refused = "You may not use `demo-guided` in this server; you may use `--model demo`."
        shown = await press(world, result, "Edit")
        await world.member.submit_modal(shown, {"prompt": f"{CHANGED} --model demo-guided", "strength": "0.9"})
        assert refused in newest(world).content
        await world.member.slash(world.channel, "edit", prompt=CHANGED, source=result.jump_url, model="demo-guided")
        assert refused in newest(world).content
        assert world.env.errors is not None
        assert len(await rows(world, "SELECT id FROM jobs")) == 1


async def test_a_default_model_of_a_member_that_may_not_be_used_is_replaced_and_said(world_of: OpenWorld) -> None:
    async with world_of(profile="auto", profiles=("demo", "demo-guided")) as world:
        await world.member.slash(world.channel, "settings", model="demo-guided", aspect="5:3")
        await make_unusable(world, FORBIDDEN)
        shown = await answer_text(world, world.member, "settings")
        assert f"**model**: demo-guided, but demo is used: {FORBIDDEN}." in shown
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
        note = f"-# With {PLAIN} instead of “{GUIDED}” from your /settings: {FORBIDDEN}."
        assert await made(world) == (PLAIN, newest(world).content)
        assert f"{note} With 5:3 from your /settings." in newest(world).content
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1, model="demo")
        assert "instead of" not in newest(world).content


async def test_a_default_model_that_the_bot_no_longer_has_is_replaced_and_said(world_of: OpenWorld) -> None:
    async with world_of(profile="auto", profiles=("demo", "demo-guided")) as world:
        write = partial(write_values, member_id=world.member.id, values={"model": "turbo"})
        await world.env.bot.database.write(write)
        assert f"**model**: turbo, but demo is used: {GONE}." in await answer_text(world, world.member, "settings")
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=1)
        assert await made(world) == (PLAIN, newest(world).content)
        assert f"-# With {PLAIN} instead of “turbo” from your /settings: {GONE}." in newest(world).content
