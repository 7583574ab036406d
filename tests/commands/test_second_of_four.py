"""The main gesture: an edit of the second of four pictures, by every way that there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import discord
import pytest

from bot.playground.world import World
from bot.requests.drafts import find_draft
from bot.requests.spec import ImageSpec
from bot.views.drafts import draft_view
from tests.helpers.buttons import button_labels
from tests.helpers.pictures import CHANGED, drawn, rows
from tests.helpers.typing_members import types

FORM = {"prompt": CHANGED, "strength": "0.3"}
Way = Callable[[World, discord.Message, list[str]], Awaitable[None]]


async def by_typed_slash(world: World, result: discord.Message, _: list[str]) -> None:
    asked = await types(world, f"/edit {CHANGED}", result)
    await world.member.click(asked.response, label="2")


async def by_link(world: World, result: discord.Message, _: list[str]) -> None:
    asked = await world.member.slash(world.channel, "edit", prompt=CHANGED, source=result.jump_url)
    await world.member.click(asked.response, label="2")


async def by_choice_of_autocomplete(world: World, _: discord.Message, __: list[str]) -> None:
    offered = await world.member.autocomplete(world.channel, "edit", "source", "seed 4")
    (choice,) = offered
    assert choice["name"].startswith("2 · seed 4 · ")
    await world.member.slash(world.channel, "edit", prompt=CHANGED, source=choice["value"])


async def by_reply(world: World, result: discord.Message, _: list[str]) -> None:
    await types(world, f"edit: {CHANGED} --image 2", result)


async def by_mention(world: World, result: discord.Message, _: list[str]) -> None:
    await types(world, f"<@{world.env.bot.user.id}> {CHANGED} --image 2", result)


async def by_right_click(world: World, result: discord.Message, _: list[str]) -> None:
    shown = await world.member.context_menu(world.channel, "Edit image", result)
    await world.member.submit_modal(shown, FORM | {"which": ["2"]})


async def by_button(world: World, result: discord.Message, ids: list[str]) -> None:
    asked = await world.member.click(result, label="Edit")
    shown = await world.member.select(asked.response, [ids[1]])
    await world.member.submit_modal(shown, FORM)


async def by_reply_that_does_not_say_which(world: World, result: discord.Message, _: list[str]) -> None:
    await types(world, f"edit: {CHANGED}", result)
    (kept,) = await rows(world, "SELECT id FROM drafts")
    found = await find_draft(world.env.bot.database, kept["id"])
    assert found is not None
    # SimCord waits until the answer has removed itself, so its buttons are pressed on a message of their own.
    view = draft_view(kept["id"], found[0].alternatives)
    asked = await world.env.bot.get_channel(world.channel.id).send("x", view=view)
    assert button_labels(asked) == ["1", "2", "3", "4", "Edit request"]
    await world.member.click(asked, label="2")


WAYS: tuple[Way, ...] = (
    by_typed_slash,
    by_link,
    by_choice_of_autocomplete,
    by_reply,
    by_reply_that_does_not_say_which,
    by_mention,
    by_right_click,
    by_button,
)


@pytest.mark.parametrize("way", WAYS)
async def test_the_second_of_four(world: World, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.views.card_messages.SHORT_LIVED_SECONDS", 0.3)
    result = await drawn(world, count=4, steps=1)
    assert [attachment.description.split(":")[0] for attachment in result.attachments] == [
        f"Picture {number} of 4" for number in (1, 2, 3, 4)
    ]
    ids = [row["id"] for row in await rows(world, "SELECT id FROM images ORDER BY position")]
    await way(world, result, ids)
    (job,) = await rows(world, "SELECT parent_image_id FROM jobs WHERE kind = 'edit'")
    assert job["parent_image_id"] == ids[1]


async def test_an_instruction_is_generated_only_if_that_is_pressed(world: World) -> None:
    await drawn(world, steps=1)
    answered = await world.member.slash(world.channel, "edit", prompt="make it green --seed 9")
    assert f"Describe the whole result: `{CHANGED}`." in answered.response.content
    assert await rows(world, "SELECT id FROM jobs WHERE kind = 'edit'") == []
    await world.member.click(answered.response, label="Generate anyway")
    (job,) = await rows(world, "SELECT parent_image_id AS parent, spec FROM jobs WHERE kind = 'edit'")
    (image,) = await rows(world, "SELECT id FROM images WHERE job_id = 1")
    spec = ImageSpec.from_json(job["spec"])
    assert (job["parent"], spec.prompt, spec.seed) == (image["id"], "make it green", 9)
    assert world.env.errors is not None
