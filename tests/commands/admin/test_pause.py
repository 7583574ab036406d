"""Pausing a server, pausing everything, draining: waiting jobs wait, started ones are finished, members are told."""

from __future__ import annotations

import threading
from functools import partial

import discord
import pytest
import simcord

from bot.playground.world import World
from tests.helpers.admins import admin_of, told
from tests.helpers.faults import Faulty
from tests.helpers.pictures import PROMPT, rows
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import Failed, Unit, UnitFailed

PAUSED = "An admin of this server has paused me. The queue is kept; please ask again later."


async def test_a_paused_server_draws_nothing_more_until_it_is_resumed(world: World) -> None:
    ada = admin_of(world)
    assert "Paused." in (await told(world, ada, "admin pause")).content
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.content == f"{PAUSED}\n``{PROMPT}``"
    assert "paused already" in (await told(world, ada, "admin pause")).content
    assert "Resumed. What waited comes first." in (await told(world, ada, "admin resume")).content
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert len(world.channel.history()) == 1
    assert world.env.errors is not None
    changes = await rows(world, "SELECT action, before, after FROM audit ORDER BY id")
    assert [(row["action"], row["before"], row["after"]) for row in changes] == [
        ("pause", "generating on", "generating off"),
        ("resume", "generating off", "generating on"),
    ]


async def test_what_waits_when_the_server_is_paused_stays_in_line_and_says_so(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.ENCODE_TEXT, gate=gate, entered=entered)
    async with world_of(slow) as world:
        service, guild_id = world.env.bot.jobs, world.channel.guild.id
        first, second = Typist(world), Typist(world)
        await first.imagine(PROMPT, seed=1)
        await until(entered.is_set)
        await second.imagine("a green square on a white background", seed=2)
        service.pause(guild_id)
        gate.set()
        await until(lambda: all(service.is_waiting(job_id) for job_id in service.active))
        await until(lambda: "Paused by an admin of this server." in second.card.shown[-1])
        assert world.channel.history() == []
        assert {row["state"] for row in await rows(world, "SELECT state FROM jobs")} == {"queued"}
        service.resume(guild_id)
        await until(lambda: len(world.channel.history()) == 2)
        await until(lambda: not service.active)
        assert {row["state"] for row in await rows(world, "SELECT state FROM jobs")} == {"delivered"}
        (used,) = await rows(world, "SELECT sum(credits) AS total FROM ledger WHERE entry = 'settled'")
        assert used["total"] == 200


async def test_what_is_being_drawn_when_the_server_is_paused_is_finished(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.DECODE, gate=gate, entered=entered)
    async with world_of(slow) as world:
        await Typist(world).imagine(PROMPT)
        await until(entered.is_set)
        world.env.bot.jobs.pause(world.channel.guild.id)
        gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        (message,) = world.channel.history()
        assert len(message.attachments) == 1
        assert [row["state"] for row in await rows(world, "SELECT state FROM jobs")] == ["delivered"]


async def test_what_was_taken_back_can_be_cancelled_while_it_is_paused(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.ENCODE_TEXT, gate=gate, entered=entered)
    async with world_of(slow) as world:
        service = world.env.bot.jobs
        card = await Typist(world).imagine(PROMPT, count=2)
        await until(entered.is_set)
        service.pause(world.channel.guild.id)
        gate.set()
        await until(lambda: all(service.is_waiting(job_id) for job_id in service.active))
        (job_id,) = service.active
        await service.cancellation.cancel(job_id)
        await until(lambda: not service.active)
        assert card.shown[-1] == f"Cancelled: ``{PROMPT}``. Nothing was charged."
        assert [row["state"] for row in await rows(world, "SELECT state FROM jobs")] == ["cancelled"]
        ledger = await rows(world, "SELECT entry, credits FROM ledger ORDER BY id")
        assert ledger[1:] == [{"entry": "settled", "credits": 0}, {"entry": "given_back", "credits": 200}]


async def test_an_image_that_ended_before_the_pause_is_not_ended_again_after_it(world_of: OpenWorld) -> None:
    """One of two images fails while the other is withdrawn: only the other is rendered after the pause."""
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.ENCODE_TEXT, gate=gate, entered=entered)
    async with world_of(slow) as world:
        service = world.env.bot.jobs
        await Typist(world).imagine(PROMPT, count=2)
        await until(entered.is_set)
        (active,) = service.active.values()
        first, _ = active.rendering.handles
        first.deliver(Failed(UnitFailed("It went wrong."), 0.5))
        service.pause(world.channel.guild.id)
        gate.set()
        await until(lambda: service.is_waiting(active.job.id))
        service.resume(world.channel.guild.id)
        await until(lambda: not service.active)
        (message,) = world.channel.history()
        assert len(message.attachments) == 1
        assert "1 of 2 pictures failed" in message.content
        images = await rows(world, "SELECT state, device_ms FROM images ORDER BY position")
        assert [image["state"] for image in images] == ["failed", "rendered"]
        (job,) = await rows(world, "SELECT device_ms FROM jobs")
        assert job["device_ms"] == sum(image["device_ms"] for image in images), "counted once each"


async def test_another_server_draws_on_while_one_is_paused(world: World) -> None:
    await told(world, admin_of(world), "admin pause")
    other = world.env.create_guild(name="Elsewhere")
    there = other.create_text_channel("there")
    bob = other.add_member(world.env.create_user("bob"))
    await bob.slash(there, "imagine", prompt=PROMPT)
    assert there.history()[-1].attachments


async def test_a_pause_outlives_a_restart(world: World) -> None:
    await told(world, admin_of(world), "admin pause")
    await restart(world)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.content == f"{PAUSED}\n``{PROMPT}``"
    assert world.env.errors is not None


async def test_the_owner_s_commands_are_for_owners_in_their_server_alone(world: World) -> None:
    guild = world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(administrator=True))
    owner = guild.add_member(world.env.create_user("op"), roles=[boss])
    admin = guild.add_member(world.env.create_user("adm"), roles=[boss])
    other = world.env.create_guild(name="Elsewhere")
    there = other.create_text_channel("there")
    stranger = other.add_member(
        world.env.create_user("eve"),
        roles=[other.create_role("b", permissions=discord.Permissions(administrator=True))],
    )
    await restart(world, owner_guild_id=guild.id, bot_owner_ids=frozenset({owner.id}))
    with pytest.raises(simcord.SetupError):
        await stranger.slash(there, "owner pause")
    assert "BOT_OWNER_IDS" in (await told(world, admin, "owner pause")).content

    async def say(command: str, **options: object) -> str:
        return (await told(world, owner, f"owner {command}", **options)).content

    assert "Paused everywhere" in await say("pause")
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.content.startswith("My operator has paused me.")
    assert "paused everywhere" in await say("health")
    assert "Resumed. What waited comes first." in await say("resume")
    assert "nothing is on the device or being posted: it is safe to stop the bot now" in await say("drain")
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert "new requests are kept" in await say("health")
    assert "Resumed. What waited comes first." in await say("resume")
    assert "neither paused nor drained" in await say("resume")
    await until(lambda: not world.env.bot.jobs.active)
    shown = await say("servers")
    assert "**2 servers**" in shown
    assert f"1 · 1 · ``Playground`` `{guild.id}`" in shown
    health = await say("health")
    assert "accepting requests" in health
    assert "1 delivered" in health
    world.env.bot.parts.admin.faults = lambda: ["Nobody reads ALERT_CHANNEL."]
    assert (await say("health")).endswith("⚠️ Nobody reads ALERT_CHANNEL.")
    assert world.env.errors is not None
    audited = await rows(world, "SELECT guild_id, action FROM audit ORDER BY id")
    assert [row["action"] for row in audited] == ["pause", "resume", "drain", "drain"]
    assert {row["guild_id"] for row in audited} == {0}


async def test_ceilings_bind_everybody_and_outlive_a_restart(world: World) -> None:
    guild = world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(administrator=True))
    owner = guild.add_member(world.env.create_user("op"), roles=[boss])
    await restart(world, owner_guild_id=guild.id, bot_owner_ids=frozenset({owner.id}))
    await told(world, owner, "admin limits set", target=world.member, limit="credits_per_day", value="unlimited")
    said = (await told(world, owner, "owner ceilings", ceiling="credits_per_user", value="0.02")).content
    assert said.endswith("give credits from 0.09, 0 for none, or unlimited.")
    said = (await told(world, owner, "owner ceilings", ceiling="credits_per_user", value="1.5")).content
    assert "`credits_per_user` **1.5**" in said
    await restart(world)
    shown = (await told(world, owner, "owner ceilings")).content
    assert "`credits_per_user` **1.5** (configured: unlimited)" in shown
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.response.content.startswith(
        "This costs 1 credit. You have used 1 of the 1.5 that my operator allows in 24 hours, across all servers and "
        "DMs. 1 credit comes back <t:"
    )
    quota = (await told(world, world.member, "quota")).content
    assert "Across all servers and DMs: 1 of 1.5 credits used · the operator's limit" in quota
    said = (await told(world, owner, "owner ceilings", ceiling="credits_per_user", value="configured")).content
    assert "`credits_per_user` **unlimited** " in said
    await told(world, owner, "owner ceilings", ceiling="credits_per_server", value="1")
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert "This server has used 1 of the 1 that my operator allows in 24 hours." in answered.response.content
    await told(world, owner, "owner ceilings", ceiling="credits_per_server", value="unlimited")
    await told(world, owner, "owner ceilings", ceiling="queue_length", value="0")
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    queue_full = "My queue is full (0 of 0 requests). Please ask again in a few minutes.\n"
    assert answered.response.content.startswith(queue_full)
    assert world.env.errors is not None


async def test_a_drained_bot_keeps_new_requests_until_it_is_resumed(world: World) -> None:
    world.env.bot.jobs.drain()
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (card,) = world.channel.history()
    assert "My operator is about to restart me. Your request is saved" in card.content
    assert world.env.bot.jobs.under_way == 0
    world.env.bot.jobs.undrain()
    await until(lambda: not world.env.bot.jobs.active)
    (result,) = world.channel.history()
    assert result.attachments
