"""``/queue`` and ``/cancel``: what members and moderators see of requests that have not ended, and cancelling there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.jobs.job import Job, JobProgress, JobRequest
from bot.playground.world import World
from bot.requests.spec import ImageOptions, build_spec
from bot.store.job_rows import Undelivered
from bot.store.limits import Requester
from bot.views import discord_requests
from bot.views.queue import QueueEntry, QueueList
from tests.helpers.admins import another_server, audited
from tests.helpers.dynamic_items import matching
from tests.helpers.job_worlds import PROMPT, HeldUp, jobs, results
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld
from zimage_engine.catalog import find_profile
from zimage_engine.weights import complete_profile

PAUSED = "Paused by an admin of this server."


@pytest.fixture
async def paused(world_of: OpenWorld) -> AsyncIterator[World]:
    """A world in which requests are taken and wait."""
    async with world_of(load=False) as world:
        world.env.bot.jobs.pause(world.channel.guild.id)
        yield world


def moderator_of(world: World) -> Any:
    guild = world.channel.guild
    moderators = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
    return guild.add_member(world.env.create_user("mo"), roles=[moderators])


async def ask(world: World, *prompts: str, who: Any = None, channel: Any = None, **options: Any) -> None:
    for prompt in prompts:
        await (who or world.member).slash(channel or world.channel, "imagine", prompt=prompt, **options)


async def queue_of(world: World, who: Any = None, command: str = "queue") -> discord.Message:
    answered = await (who or world.member).slash(world.channel, command)
    assert answered.ephemeral
    return answered.response.message


def as_now(world: World, who: Any, message: discord.Message) -> discord.Message:
    (now,) = [each for each in world.channel.history(viewer=who) if each.id == message.id]
    return now


def labels(message: discord.Message) -> list[str]:
    items = [item for row in message.components for item in row.children]  # type: ignore[union-attr]
    return [item.label or "" for item in items if isinstance(item, discord.Button)]


def options_of(message: discord.Message) -> list[discord.SelectOption]:
    items = [item for row in message.components for item in row.children]  # type: ignore[union-attr]
    return [option for item in items if isinstance(item, discord.SelectMenu) for option in item.options]


async def choose(who: Any, message: discord.Message, *numbers: int) -> None:
    values = [options_of(message)[number - 1].value for number in numbers]
    custom_id = message.components[0].children[0].custom_id  # type: ignore[union-attr]
    await who.select(message, values, custom_id=custom_id)


async def test_my_requests_are_listed_and_cancelled_one_by_one_and_all(paused: World) -> None:
    await ask(paused, "a red circle", "a green star", "a blue square")
    message = await queue_of(paused)
    heading, first, second, third = message.content.splitlines()
    assert heading == "**3 requests of yours in the queue**"
    assert first.startswith(f"1. ``a red circle`` · {PAUSED}")
    assert (second[:19], third[:20]) == ("2. ``a green star``", "3. ``a blue square``")
    assert "Everybody's requests" not in labels(message)

    await choose(paused.member, message, 2)
    message = as_now(paused, paused.member, message)
    notice, heading, *lines = message.content.splitlines()
    assert notice == "Cancelled: ``a green star``. Nothing was charged."
    assert heading == "**2 requests of yours in the queue**"
    assert len(lines) == 2
    assert paused.channel.history()[1].content == notice, "the card says the same"

    await paused.member.click(message, label="Cancel all")
    message = as_now(paused, paused.member, message)
    assert message.content == "Cancelled 2 requests. Nothing was charged.\nYou have nothing in the queue."
    assert [row["state"] for row in await jobs(paused, "state")] == ["cancelled"] * 3
    assert await audited(paused) == [], "it was the member themselves"


async def test_cancel_takes_the_only_request_and_asks_among_several(paused: World) -> None:
    assert (await queue_of(paused, command="cancel")).content == "You have nothing in the queue."
    await ask(paused, "a red circle")
    answered = await paused.member.slash(paused.channel, "cancel")
    assert answered.response.content == "Cancelled: ``a red circle``. Nothing was charged."
    await ask(paused, "a green star", "a blue square")
    message = await queue_of(paused, command="cancel")
    assert message.content.startswith("Which one? Choose it below.\n**2 requests of yours in the queue**")
    assert [option.label for option in options_of(message)] == ["1 · a green star", "2 · a blue square"]


async def test_what_the_device_is_at_stops_after_its_step_and_says_what_it_cost(world_of: OpenWorld) -> None:
    device = HeldUp()
    async with world_of(device.wrap, concurrent_jobs=1) as world:
        for _ in range(2):
            await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(device.entered.is_set)
        await leave_running(world, world.member.slash(world.channel, "queue"))
        message = world.channel.history(viewer=world.member)[-1]
        _, first, second = message.content.splitlines()
        assert first.startswith(f"1. ``{PROMPT}`` · 0%")
        assert second.endswith("1 of your own requests comes first; you may have 1 running at a time.")
        await leave_running(world, choose(world.member, message, 1))
        device.gate.set()
        charged = f"Cancelled: ``{PROMPT}``. 0.09 credits for the part already done."
        await until(lambda: as_now(world, world.member, message).content.startswith(charged))
        await until(lambda: not world.env.bot.jobs.active)


async def test_results_that_could_not_be_posted_are_in_the_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord_requests, "_RETRY_SECONDS", 0.0)
    world.env.inject_error("POST", "/channels/*/messages", status=503, times=2)
    await ask(world, PROMPT)
    message = await queue_of(world)
    assert message.content.startswith("You have nothing in the queue.\nI couldn't post your picture from <t:")
    await world.member.click(message, label="Show it")
    assert len(results(world)) == 1


async def test_a_moderator_sees_everybody_s_but_no_private_prompt_and_cancelling_is_audited(paused: World) -> None:
    moderator = moderator_of(paused)
    await ask(paused, "a red circle")
    await ask(paused, "a secret duck", private=True)
    message = await queue_of(paused, moderator)
    assert message.content == "You have nothing in the queue."
    await moderator.click(message, label="Everybody's requests")
    message = as_now(paused, moderator, message)
    heading, first, second = message.content.splitlines()
    assert heading == "**2 requests of this server in the queue**"
    place = f"<@{paused.member.id}> in <#{paused.channel.id}>"
    assert first.startswith(f"1. {place}: ``a red circle`` · {PAUSED}")
    assert second.startswith(f"2. {place}: private · {PAUSED}")
    assert [option.label for option in options_of(message)] == ["1 · a red circle", "2 · private"]
    assert "Cancel all" not in labels(message)

    await choose(moderator, message, 2)
    notice = as_now(paused, moderator, message).content.splitlines()[0]
    assert notice == "Cancelled a private request. Nothing was charged."
    await choose(moderator, as_now(paused, moderator, message), 1)
    (private,) = [each for each in paused.channel.history(viewer=paused.member) if each.flags.ephemeral]
    assert private.content == "Cancelled by a moderator: ``a secret duck``. Nothing was charged."
    assert [(change.action, change.target, change.after) for change in await audited(paused)] == [
        ("cancel", f"<@{paused.member.id}>", "cancelled")
    ] * 2
    assert "duck" not in repr(await audited(paused))
    assert not [each for each in paused.channel.history(viewer=moderator) if "duck" in each.content]


async def test_a_moderator_cancels_several_at_once(paused: World) -> None:
    moderator = moderator_of(paused)
    await ask(paused, "a red circle", "a green star", "a blue square")
    message = await queue_of(paused, moderator)
    await moderator.click(message, label="Everybody's requests")
    await choose(moderator, as_now(paused, moderator, message), 1, 3)
    assert as_now(paused, moderator, message).content.startswith("Cancelled 2 requests. Nothing was charged.\n")
    assert [row["state"] for row in await jobs(paused, "state")] == ["cancelled", "queued", "cancelled"]


async def test_the_list_of_all_ends_at_the_server_and_where_the_moderator_has_no_say(paused: World) -> None:
    guild = paused.channel.guild
    hidden = guild.create_text_channel("hidden")
    moderator, (elsewhere, _) = moderator_of(paused), another_server(paused)
    paused.env.bot.jobs.pause(elsewhere.guild.id)
    there = elsewhere.guild.add_member(paused.env.create_user("noa"))
    await ask(paused, "a red circle")
    await ask(paused, "a green star", channel=hidden)
    await ask(paused, "a blue square", who=there, channel=elsewhere)
    everyone = paused.env.bot.get_guild(guild.id).default_role
    await paused.env.bot.get_channel(hidden.id).set_permissions(everyone, view_channel=False)
    message = await queue_of(paused, moderator)
    await moderator.click(message, label="Everybody's requests")
    (_, line) = as_now(paused, moderator, message).content.splitlines()
    assert "``a red circle``" in line


async def test_who_is_no_moderator_cannot_forge_the_list_of_all(paused: World) -> None:
    await ask(paused, "a secret duck", private=True)
    stranger = paused.channel.guild.add_member(paused.env.create_user("noa"))
    everybody = QueueList("all", [], 0, may_see_all=True).view()
    forged = await paused.env.bot.get_channel(paused.channel.id).send("x", view=everybody)
    answered = await stranger.click(forged, label="Refresh")
    assert answered.response.content == "Only moderators see everybody's requests: you need Manage Messages here."
    assert paused.env.errors is not None


SPEC, _ = build_spec(ImageOptions("`long` " * 300), complete_profile(find_profile("demo")), max_count=4)
JOB = Job(10**17, JobRequest(1, SPEC, 1, Requester(10**18, 6, 6), 10**18, "public", None), 100, ("a",), "j", 0, 3)
LONG = JobProgress("loading", 99, since=2e9, stage="downloading: 10.1 of 20.5 GB", restarted=True)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40])
@pytest.mark.parametrize("whose", ["mine", "all"])
def test_a_list_of_any_length_fits_into_a_message(whose: Any, count: int) -> None:
    entries = [
        QueueEntry(replace(JOB, id=number), LONG, SPEC.prompt if number % 2 else None) for number in range(count)
    ]
    undelivered = [Undelivered(number, 2_000_000_000, 2_000_000_000) for number in range(9)]
    seen: list[str] = []
    for page in range(max(1, -(-count // 8))):
        shown = QueueList(
            whose, entries, page, may_see_all=True, undelivered=undelivered, notice="Cancelled 3 requests."
        )
        assert len(shown.text()) <= 2000
        view = shown.view()
        ids = [item.custom_id for item in view.children]  # type: ignore[attr-defined]
        assert len(set(ids)) == len(ids)
        assert all(len(matching(custom_id)) == 1 for custom_id in ids)
        selects = [item for item in view.children if isinstance(getattr(item, "item", None), discord.ui.Select)]
        seen += [option.value for each in selects for option in each.item.options]  # type: ignore[attr-defined]
    assert seen == [str(number) for number in range(count)], "each request is on one page"
