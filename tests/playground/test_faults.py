"""The faults of the playground: what a member sees of each, and that everything works when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.jobs import completion
from bot.playground.faults import FAULTS, Faults, FaultSwitches
from bot.playground.faulty_device import DeviceFaults, FaultOn
from bot.playground.world import World, open_world
from bot.settings import Settings
from bot.views import discord_requests
from tests.helpers.job_worlds import all_ended, jobs, results
from tests.helpers.waiting import until
from tests.helpers.worlds import new_faulty_client

PROMPT = "a red circle on a blue background"
TOO_LITTLE_MEMORY = "The device has too little memory for 256×256; try a smaller size. Nothing was charged."


@pytest.fixture
def device() -> DeviceFaults:
    return DeviceFaults()


@pytest.fixture
async def world(settings: Settings, device: DeviceFaults) -> AsyncIterator[World]:
    async with open_world(new_faulty_client(settings, device)) as opened:
        await opened.env.bot.model_ready()
        yield opened


@pytest.fixture
def faults(world: World, device: DeviceFaults) -> Faults:
    return Faults(world, device)


async def ask(world: World, **options: Any) -> Any:
    return await world.member.slash(world.channel, "imagine", prompt=PROMPT, steps=2, **options)


async def check_a_picture_comes(world: World) -> None:
    known = len(results(world))
    await ask(world)
    assert len(results(world)) == known + 1


async def device_seconds(world: World) -> float:
    """Return what the newest job took on the device."""
    return float((await jobs(world, "device_ms"))[-1]["device_ms"]) / 1000


async def test_a_slow_device_takes_longer_for_each_unit(faults: Faults, world: World) -> None:
    costs = world.env.bot.engine._queue.predictions.costs["demo"]
    learned = dict(costs.correction)
    with faults.slow_device(0.1):
        await ask(world)
        assert await device_seconds(world) >= 4 * 0.1, "a text, two steps and a picture"
        assert costs.correction != learned
    assert costs.correction == learned
    await check_a_picture_comes(world)


async def test_only_the_next_picture_runs_out_of_memory(faults: Faults, world: World) -> None:
    with faults.out_of_memory_on_next_picture():
        await ask(world)
        (message,) = world.channel.history()
        assert PROMPT in message.content
        assert TOO_LITTLE_MEMORY in message.content
        assert (await jobs(world, "state, error_code"))[0] == {"state": "failed", "error_code": "out_of_memory"}
        await check_a_picture_comes(world)


async def test_the_other_picture_of_its_batch_is_not_lost(faults: Faults, world: World) -> None:
    with faults.out_of_memory_on_next_picture():
        await ask(world, count=2)
        (message,) = results(world)
        assert len(message.attachments) == 1


async def test_a_picture_that_discord_did_not_take_is_posted_once_afterwards(
    faults: Faults, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord_requests, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(completion, "_PAUSES", (0,) * 9)
    with ExitStack() as outage:
        with faults.slow_device(60):
            asked = asyncio.create_task(ask(world))
            await until(lambda: bool(world.env.bot.jobs.active))
            await until(lambda: bool(world.channel.history()))
            outage.enter_context(faults.discord_unavailable())
        await asked
        (job,) = await jobs(world, "state, delivery_attempts")
        assert job["state"] == "rendered"
        assert job["delivery_attempts"] >= 1
        assert not results(world)
    await all_ended(world)
    assert len(results(world)) == len(world.channel.history()) == 1, "the card is gone"
    await check_a_picture_comes(world)


@pytest.mark.parametrize(("permission", "name"), [("attach_files", "Attach Files"), ("send_messages", "Send Messages")])
async def test_a_lost_permission_is_named_until_it_is_given_back(
    faults: Faults, world: World, permission: str, name: str
) -> None:
    with faults.permission_lost(permission):
        refused = await ask(world)
        assert refused.ephemeral
        assert refused.response.content.startswith(
            f"I may not post pictures in this channel: I lack {name}. An admin can allow it in the channel's settings"
        )
        assert await jobs(world) == []
    await check_a_picture_comes(world)


async def test_other_permissions_of_the_bot_in_the_channel_stay(faults: Faults, world: World) -> None:
    channel = world.env.bot.get_channel(world.channel.id)
    before = discord.PermissionOverwrite(attach_files=True, embed_links=False)
    await channel.set_permissions(channel.guild.me, overwrite=before)
    with faults.permission_lost("attach_files"):
        assert channel.overwrites_for(channel.guild.me) == discord.PermissionOverwrite(
            attach_files=False, embed_links=False
        )
    assert channel.overwrites_for(channel.guild.me) == before


async def test_faults_outlast_a_restart_of_the_bot(faults: Faults, world: World) -> None:
    with faults.slow_device(0.1), faults.out_of_memory_on_next_picture():
        with faults.permission_lost():
            await world.env.bot.close()
            await world.env.restart_bot(new_faulty_client(world.env.bot.settings, faults.device))
            await world.env.bot.model_ready()
            assert "I lack Attach Files." in (await ask(world)).response.content
        await ask(world)
        assert TOO_LITTLE_MEMORY in world.channel.history()[-1].content
        await ask(world)
        assert await device_seconds(world) >= 4 * 0.1
    await check_a_picture_comes(world)


async def test_a_fault_that_is_on_cannot_be_switched_on_again(faults: Faults) -> None:
    for fault in FAULTS.values():
        with fault.enter(faults), pytest.raises(FaultOn, match=r"already\.$"):
            fault.enter(faults).__enter__()
        with fault.enter(faults):
            pass


def test_what_no_fault_can_be_is_refused() -> None:
    faults = Faults(World(None, None, None), DeviceFaults())
    with pytest.raises(ValueError, match="no permission paint"):
        faults.permission_lost("paint").__enter__()
    with pytest.raises(ValueError, match="up to 60 seconds, not by 600"):
        faults.slow_device(600).__enter__()
    with pytest.raises(ValueError, match="no fault 'fire': there are slow_device, out_of_memory"):
        FaultSwitches(faults).switch("fire", on=True)


async def test_the_switches_hold_what_is_on(faults: Faults, world: World) -> None:
    switches = FaultSwitches(faults)
    for fault_id in FAULTS:
        switches.switch(fault_id, on=True)
        switches.switch(fault_id, on=True)
    assert switches.active == set(FAULTS)
    switches.switch("slow_device", on=False)
    switches.switch("slow_device", on=False)
    assert switches.active == set(FAULTS) - {"slow_device"}
    switches.close()
    assert not switches.active
    await check_a_picture_comes(world)


async def test_memory_is_switched_off_by_the_picture_that_fails(faults: Faults, world: World) -> None:
    switches = FaultSwitches(faults)
    for _ in range(2):
        switches.switch("out_of_memory", on=True)
        await ask(world)
        assert TOO_LITTLE_MEMORY in world.channel.history()[-1].content
        assert not switches.active
    switches.switch("out_of_memory", on=True)
    switches.switch("out_of_memory", on=False)
    await check_a_picture_comes(world)


async def test_discord_is_back_by_itself(faults: Faults, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FAULTS["discord_unavailable"].seconds == 20
    monkeypatch.setitem(FAULTS, "discord_unavailable", replace(FAULTS["discord_unavailable"], seconds=0.01))
    switches = FaultSwitches(faults)
    switches.switch("discord_unavailable", on=True)
    assert switches.active
    await until(lambda: not switches.active)
    assert not world.env.backend.faults
