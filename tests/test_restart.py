"""Jobs over a restart of the program."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from functools import partial

from bot.playground.world import World
from tests.helpers.buttons import button_labels, filled_in
from tests.helpers.faults import Immediate
from tests.helpers.job_worlds import PROMPT, HeldUp, all_ended, change, jobs, results, start_again
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, new_client, restart
from zimage_engine.device.worker import Worker
from zimage_engine.types import Plan, PlanResult, Unit

KEPT = "I'm restarting. Your request is saved and starts when I'm back."
BACK = "I restarted; your request is back in the queue."


async def test_what_runs_and_what_waits_goes_on_after_a_planned_stop(world_of: OpenWorld) -> None:
    device = HeldUp()
    async with world_of(device.wrap, shutdown_seconds=0.3, concurrent_jobs=1) as world:
        for prompt in (PROMPT, "a green star"):
            await leave_running(world, world.member.slash(world.channel, "imagine", prompt=prompt))
        await until(device.entered.is_set)
        closing = asyncio.create_task(world.env.bot.services.suspend())
        await world.member.slash(world.channel, "imagine", prompt="a blue square")
        await closing
        await world.env.bot.close()
        device.gate.set()
        cards = [message.content for message in world.channel.history()]
        assert len(cards) == 3
        assert all(KEPT in card for card in cards)
        await start_again(world)
        assert await jobs(world, "attempts") == [{"attempts": 0}] * 3
        await all_ended(world)
        assert [message.content.split("``")[1] for message in world.channel.history()] == [
            PROMPT,
            "a green star",
            "a blue square",
        ]
        assert len(results(world)) == 3, "the cards are gone"


async def test_the_card_says_that_the_request_is_back_in_the_queue(world: World) -> None:
    world.env.bot.jobs.drain()
    await world.member.slash(world.channel, "imagine", prompt=f"{PROMPT}::2")
    await change(world, "INSERT INTO guild_settings VALUES (?, 'paused', 'on')", world.channel.guild.id)
    await restart(world)
    (card,) = world.channel.history()
    assert BACK in card.content
    assert "-# `::2` has no meaning here" in card.content
    assert card.interaction_metadata is not None, "the same card"
    await change(world, "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL")
    await restart(world)
    (card,) = world.channel.history()
    assert BACK in card.content
    assert PROMPT in card.content
    assert card.interaction_metadata is None, "an ordinary message has taken over"
    await restart(world)
    assert [message.id for message in world.channel.history()] == [card.id], "it is a card like any other"
    world.env.bot.jobs.resume(world.channel.guild.id)
    await all_ended(world)
    assert len(world.channel.history()) == 1
    assert len(results(world)) == 1


class CountsImages(Immediate):
    """A device that counts decoded images, and waits before it decodes one."""

    def __init__(self, inner: Worker, waits_at: int) -> None:
        super().__init__(inner)
        self.waits_at = waits_at
        self.decoded = 0
        self.reached, self.gate = threading.Event(), threading.Event()

    def execute(self, plan: Plan) -> PlanResult:
        if plan.unit is Unit.DECODE:
            self.decoded += len(plan.ids)
            if self.decoded >= self.waits_at:
                self.reached.set()
                self.gate.wait(30)
        return super().execute(plan)


async def test_images_that_are_rendered_are_kept(world_of: OpenWorld) -> None:
    devices: list[CountsImages] = []

    def device(inner: Worker, waits_at: int) -> CountsImages:
        devices.append(CountsImages(inner, waits_at))
        return devices[-1]

    async with world_of(partial(device, waits_at=3), shutdown_seconds=0.3) as world:
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=PROMPT, count=4))
        await until(devices[0].reached.is_set)
        await world.env.bot.close()
        settings = world.env.bot.settings
        with closing(sqlite3.connect(settings.database_path)) as connection:
            kept = [row[0] for row in connection.execute("SELECT id FROM images WHERE state = 'rendered'")]
        assert 0 < len(kept) < 4
        folder = settings.image_dir
        written = {image_id: (folder / f"{image_id}.png").stat().st_mtime_ns for image_id in kept}
        devices[0].gate.set()
        await asyncio.wait([asked], timeout=5)
        await world.env.restart_bot(new_client(world.env.bot.settings, partial(device, waits_at=99)))
        await all_ended(world)
        assert devices[1].decoded == 4 - len(kept)
        assert {image_id: (folder / f"{image_id}.png").stat().st_mtime_ns for image_id in kept} == written
        (message,) = results(world)
        assert len(message.attachments) == 4
        assert await jobs(world, "state, credits, (SELECT sum(charge) FROM images) AS charged") == [
            {"state": "delivered", "credits": 400, "charged": 400}
        ]


async def test_what_was_typed_in_the_last_moment_before_the_end_is_given_back(world: World) -> None:
    await world.env.bot.jobs.close(0)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.ephemeral
    assert answered.response.content == f"I'm restarting; please ask again in a minute.\n``{PROMPT}``"
    assert (await world.member.slash(world.channel, "ping")).response.content.endswith("in a minute.")
    await restart(world)
    shown = await world.member.click(answered.response, label="Edit request")
    await world.member.submit_modal(shown, filled_in(shown))
    assert len(results(world)) == 1


async def test_a_kept_job_is_cancelled_on_its_card_before_and_after_the_restart(world: World) -> None:
    world.env.bot.jobs.drain()
    for prompt in (PROMPT, "a green star"):
        await world.member.slash(world.channel, "imagine", prompt=prompt)
    await world.member.click(world.channel.history()[0], label="Cancel")
    nothing = f"Cancelled: ``{PROMPT}``. Nothing was charged."
    assert world.channel.history()[0].content == nothing
    await change(world, "INSERT INTO guild_settings VALUES (?, 'paused', 'on')", world.channel.guild.id)
    await change(world, "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL")
    await restart(world)
    _, card = world.channel.history()
    await world.member.click(card, label="Cancel")
    await until(lambda: button_labels(world.channel.history()[1]) == ["Edit request"])
    assert await jobs(world, "state") == [{"state": "cancelled"}] * 2
    said = [message.content for message in world.channel.history(viewer=world.member)]
    assert said == [nothing, "Cancelled: ``a green star``. Nothing was charged."], "one message for each"
