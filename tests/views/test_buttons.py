"""The button under a progress card."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import discord

from bot.views.buttons import progress_view
from tests.helpers.faults import Faulty
from tests.helpers.pictures import PROMPT
from tests.helpers.typist import Typist
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld
from zimage_engine.types import Unit


async def test_a_moderator_of_another_server_cannot_cancel_by_a_forged_id(world_of: OpenWorld) -> None:
    gate, entered = threading.Event(), threading.Event()
    slow = partial(Faulty, unit=Unit.DENOISE, gate=gate, entered=entered)
    async with world_of(slow) as world:
        typist = Typist(world)
        other = world.env.create_guild(name="Elsewhere")
        there = other.create_text_channel("there")
        moderator = other.add_member(
            world.env.create_user("mo"),
            roles=[other.create_role("mods", permissions=discord.Permissions(manage_messages=True))],
        )
        forged = await world.env.bot.get_channel(there.id).send("forged", view=progress_view(1))
        await typist.imagine(PROMPT)
        await until(entered.is_set)
        (job_id,) = world.env.bot.jobs.active
        assert job_id == 1
        press = asyncio.create_task(moderator.click(forged, label="Cancel"))
        await until(lambda: len(there.history(viewer=moderator)) == 2)
        gate.set()
        answered = await press
        assert "Only the member who asked for this picture" in answered.response.content
        await until(lambda: len(world.channel.history()) == 1)
        assert world.env.errors is not None
