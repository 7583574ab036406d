"""``/admin limits``, ``/admin grant`` and ``/admin reset``."""

from __future__ import annotations

import discord
import pytest

from bot.playground.world import World
from bot.store.limits import LIMITS, LimitName
from tests.helpers.admins import admin_of, told
from tests.helpers.credits import answer_text, quota_answer
from tests.helpers.pictures import PROMPT, drawn, rows
from tests.helpers.worlds import OpenWorld


async def test_a_grant_is_spent_after_the_day_s_credits(world: World) -> None:
    ada = admin_of(world)
    await answer_text(world, ada, "admin limits set", target=world.member, limit="credits_per_day", value="1")
    assert "has 1.5 credits more" in await answer_text(
        world, ada, "admin grant", member=world.member, credits=1.5, reason="prize"
    )
    await drawn(world, steps=8)
    assert "**1.5 more** granted by an admin" in await quota_answer(world)
    await drawn(world, steps=8)
    assert "**0.5 more** granted" in await quota_answer(world)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert (
        "This costs 1 credit. You have used 1 of 1 in the last 24 hours, and have 0.5 left that an admin granted. "
        in answered.response.content
    )
    assert len(world.env.errors) == 1


async def test_a_reset_lets_the_day_begin_anew_and_no_other_member_s(world: World) -> None:
    ada = admin_of(world)
    await drawn(world, steps=8)
    assert "has 1 credit back." in await answer_text(world, ada, "admin reset", member=world.member)
    assert "0 of 50 used" in await quota_answer(world)
    refused = await ada.slash(world.channel, "admin reset", member=world.member)
    assert "has used no credits" in refused.response.content
    assert world.env.errors is not None


async def test_members_cannot_set_limits_and_admins_of_one_server_not_those_of_another(world: World) -> None:
    assert "admin limits set" not in world.member.available_commands(world.channel)
    ada = admin_of(world)
    other = world.env.create_guild(name="Elsewhere")
    there = other.create_text_channel("there")
    bob = other.add_member(
        world.env.create_user("bob"),
        roles=[other.create_role("boss", permissions=discord.Permissions(manage_guild=True))],
    )
    await answer_text(
        world, ada, "admin limits set", target=world.channel.guild.default_role, limit="max_count", value="1"
    )
    shown = await bob.slash(there, "admin limits show")
    assert "This server has no limits of its own." in shown.response.content
    asked = await bob.slash(there, "quota")
    assert "Pictures per request: 4 · the bot's default" in asked.response.content


async def test_a_value_that_is_none_is_explained(world: World) -> None:
    ada = admin_of(world)
    for limit, value, sentence in (
        (
            "credits_per_day",
            "lots",
            "“lots” is not a value for “Credits, last 24 h”: give credits like 15 or 7.5, or unlimited.",
        ),
        (
            "max_count",
            "-1",
            "“-1” is not a value for “Pictures per request”: give a whole number from 0, or unlimited.",
        ),
        (
            "max_pixels",
            "big",
            "“big” is not a value for “Largest picture”: give pixels like 1048576 or 1024x1024, or unlimited.",
        ),
    ):
        answered = await ada.slash(world.channel, "admin limits set", target=world.member, limit=limit, value=value)
        assert answered.response.content == sentence
    assert len(world.env.errors) == 3
    assert await rows(world, "SELECT * FROM limits") == []
    assert await rows(world, "SELECT * FROM audit") == []


@pytest.mark.parametrize(
    ("limit", "value", "takes"),
    [
        ("max_pixels", "1024", "pixels from 128×128 to 640×640"),
        ("max_pixels", "1024x1024", "pixels from 128×128 to 640×640"),
        ("max_count", "9", "a whole number from 1 to 4"),
        ("credits_per_day", "0.02", "credits from 0.09 to 500"),
        ("credits_per_day", "501", "credits from 0.09 to 500"),
        ("queued_jobs", "2000", "a whole number from 1 to 1,000"),
        ("concurrent_jobs", "2000", "a whole number from 1 to 1,000"),
    ],
)
async def test_a_value_that_makes_no_sense_is_refused_with_the_range(
    world_of: OpenWorld, limit: LimitName, value: str, takes: str
) -> None:
    async with world_of(ceiling_credits_per_user=500, ceiling_queue_length=1000) as world:
        ada = admin_of(world)
        told = await answer_text(world, ada, "admin limits set", target=world.member, limit=limit, value=value)
        title = LIMITS[limit].title
        assert told == f"“{value}” is not a value for “{title}” here: give {takes}, 0 for none, or unlimited."
        assert await rows(world, "SELECT * FROM limits") == []
        for fine in ("0", "unlimited"):
            told = await answer_text(world, ada, "admin limits set", target=world.member, limit=limit, value=fine)
            assert told.endswith(f"{title}: {fine}.")
        assert len(world.env.errors) == 1


async def test_only_values_that_can_be_set_are_offered(world: World) -> None:
    ada = admin_of(world)

    async def offered(limit: str) -> list[str]:
        path = "admin limits set"
        choices = await ada.autocomplete(world.channel, path, "value", "", target=world.member, limit=limit)
        return [choice["value"] for choice in choices]

    assert await offered("max_count") == ["1", "2", "3", "4"]
    assert await offered("max_pixels") == ["512x512", "unlimited"]


async def test_bots_get_no_limits(world: World) -> None:
    ada, guild = admin_of(world), world.channel.guild
    robot = guild.add_member(world.env.create_user("robot", bot=True))
    told = await answer_text(world, ada, "admin limits set", target=robot, limit="max_count", value="2")
    assert told == "Bots cannot ask for pictures, so they need no limits."
    told = await answer_text(world, ada, "admin grant", member=robot, credits=1.0)
    assert told == "Bots cannot ask for pictures, so they need no credits."
    told = await answer_text(world, ada, "admin block", member=robot)
    assert told == "Bots cannot ask for pictures, so there is no need to block one."
    assert await rows(world, "SELECT * FROM limits") == await rows(world, "SELECT * FROM audit") == []
    assert world.env.errors is not None


async def test_many_limits_come_in_pages(world: World) -> None:
    ada, guild = admin_of(world), world.channel.guild
    for number in range(25):
        role = guild.create_role(f"r{number}")
        await answer_text(world, ada, "admin limits set", target=role, limit="max_count", value="2")
    shown = await told(world, ada, "admin limits show")
    assert shown.content.startswith("**25 limits are set in this server** · page 1 of 2")
    assert shown.content.count("Pictures per request **2**") == 20
    await ada.click(shown, label="Next")
    (page,) = world.channel.history(viewer=ada)[-1:]
    assert shown.id != page.id or page.content.count("Pictures per request") == 5
