"""Cancelling: by the button, by moderators, by deleting the card; and what members and moderators are told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import discord
import pytest

from bot.playground.world import World
from bot.views.buttons import progress_view
from tests.helpers.admins import audited
from tests.helpers.faults import Immediate
from tests.helpers.job_worlds import PROMPT, HeldUp, jobs
from tests.helpers.pictures import photo
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld
from zimage_engine.device.worker import Worker
from zimage_engine.types import Plan, PlanResult, Unit

PARTLY = f"Cancelled: ``{PROMPT}``. 0.09 credits for the part already done."


def moderator_of(world: World) -> Any:
    guild = world.channel.guild
    moderators = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
    return guild.add_member(world.env.create_user("mo"), roles=[moderators])


async def asked_for(world: World, device: HeldUp, **options: Any) -> discord.Message:
    """Ask for a picture and wait until the device is at it. Returns the card."""
    await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT, **options))
    await until(device.entered.is_set)
    (card,) = world.channel.history(viewer=world.member)
    return card


async def let_go_on(world: World, device: HeldUp) -> None:
    """Let the device go on and wait until nothing is in the queue."""
    device.gate.set()
    await until(lambda: not world.env.bot.jobs.active)


def shown(world: World, viewer: Any = None) -> list[str]:
    return [message.content for message in world.channel.history(viewer=viewer or world.member)]


async def test_the_card_says_at_once_that_it_stops_and_then_what_it_cost(world_of: OpenWorld) -> None:
    device = HeldUp()
    async with world_of(device.wrap) as world:
        card = await asked_for(world, device)
        again = await world.env.bot.get_channel(world.channel.id).send("x", view=progress_view(1))
        for message in (card, again):  # the second press of a double click
            await leave_running(world, world.member.click(message, label="Cancel"))
        await until(lambda: "Cancelling: it stops after the step that is running." in shown(world)[0])
        assert not world.channel.history()[0].components
        await let_go_on(world, device)
        assert shown(world) == [PARTLY, "x"], "one message for the member who pressed"


async def test_a_moderator_is_named_as_such_on_the_card_and_in_the_audit(world_of: OpenWorld) -> None:
    device = HeldUp()
    async with world_of(device.wrap) as world:
        moderator = moderator_of(world)
        card = await asked_for(world, device)
        await leave_running(world, moderator.click(card, label="Cancel"))
        await let_go_on(world, device)
        told = PARTLY.replace("Cancelled", "Cancelled by a moderator")
        assert shown(world) == shown(world, moderator) == [told]
        (change,) = await audited(world)
        assert (change.action, change.member_id) == ("cancel", world.member.id)
        assert PROMPT not in repr(change)


async def test_what_a_moderator_cancels_is_noted_with_its_audit_or_not_at_all(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may end at any moment: nothing is cancelled then that the audit does not tell of."""
    device = HeldUp()
    async with world_of(device.wrap) as world:
        moderator = moderator_of(world)
        card = await asked_for(world, device)
        failed = threading.Event()

        def fail(*_: object) -> None:
            failed.set()
            raise RuntimeError("the program ends here")

        monkeypatch.setattr("bot.store.audit.record", fail)
        await leave_running(world, moderator.click(card, label="Cancel"))
        await until(failed.is_set)
        assert await jobs(world, "cancelled_at, cancel_cause") == [{"cancelled_at": None, "cancel_cause": None}]
        await let_go_on(world, device)


async def test_at_100_percent_the_picture_comes_all_the_same(world_of: OpenWorld) -> None:
    device = HeldUp(Unit.DECODE)
    async with world_of(device.wrap) as world:
        card = await asked_for(world, device)
        (active,) = world.env.bot.jobs.active.values()
        await until(lambda: active.rendering.progress.steps_done == active.rendering.progress.steps_total)
        await leave_running(world, world.member.click(card, label="Cancel"))
        await until(lambda: shown(world)[-1] == "Already finished: your picture is on its way.")
        await let_go_on(world, device)
        assert [bool(message.attachments) for message in world.channel.history()] == [True]
        assert await jobs(world, "state, cancelled_at") == [{"state": "delivered", "cancelled_at": None}]
        assert world.env.errors is not None


async def test_a_private_card_whose_token_has_expired_is_ended_by_the_press(world_of: OpenWorld) -> None:
    async with world_of() as world:
        world.env.bot.jobs.pause(world.channel.guild.id)
        await world.member.slash(world.channel, "imagine", prompt=PROMPT, private=True)
        (card,) = world.channel.history(viewer=world.member)
        world.env.inject_error("PATCH", "/webhooks/*/*/messages/*", status=401, code=50027, times=1)
        await world.member.click(card, label="Cancel")
        assert shown(world) == [f"Cancelled: ``{PROMPT}``. Nothing was charged."]


@pytest.mark.parametrize("bulk", [False, True])
async def test_deleting_a_card_cancels_its_job_and_its_owner_is_told_directly(world_of: OpenWorld, bulk: bool) -> None:  # noqa: FBT001
    device = HeldUp()
    async with world_of(device.wrap) as world:
        moderator = moderator_of(world)
        card = await asked_for(world, device)
        if bulk:
            world.env.backend.bulk_delete_messages(world.channel.id, [card.id])
        else:
            await leave_running(world, moderator.delete(card))
        await until(lambda: all(active.cancelled for active in world.env.bot.jobs.active.values()))
        await let_go_on(world, device)
        assert shown(world) == []
        (told,) = world.member.user.dm_channel.history()
        assert told.content == f"Cancelled, since its message was deleted: {PARTLY.partition(': ')[2]}"
        (job,) = await jobs(world, "state, cancelled_at IS NULL AS kept")
        assert job == {"state": "cancelled", "kept": 0}


async def test_a_card_that_is_deleted_while_its_picture_is_read_cancels_the_job(world: World) -> None:
    """The job does not exist yet when the card goes."""
    reading = asyncio.Event()
    going_on = asyncio.Event()
    insert = world.env.bot.jobs.admission.insert

    async def slowly(request: Any) -> Any:
        reading.set()
        await going_on.wait()
        return await insert(request)

    world.env.bot.jobs.admission.insert = slowly
    image = ("photo.png", photo())
    asking = asyncio.create_task(world.member.slash(world.channel, "edit", prompt="a green circle", image=image))
    await reading.wait()
    (card,) = world.channel.history()
    world.env.backend.delete_message(world.channel.id, card.id)
    await until(lambda: card.id in world.env.bot.jobs.cancellation._deleted)
    going_on.set()
    await asking
    assert await jobs(world, "state") == [{"state": "cancelled"}]
    assert shown(world) == []


async def test_the_bots_own_removal_of_a_card_cancels_nothing(world: World) -> None:
    deleted = world.env.bot.jobs.cancellation._deleted
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert len(deleted) == 1, "the card of the delivered job"
    assert await jobs(world, "state, cancelled_at") == [{"state": "delivered", "cancelled_at": None}]


async def test_deleting_the_card_of_a_job_that_is_being_posted_changes_nothing(world: World) -> None:
    world.env.inject_error("POST", "/channels/*/messages", status=503, times=2)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (card,) = world.channel.history()
    world.env.backend.delete_message(world.channel.id, card.id)
    await world.env.settle()
    await world.env.bot.database.write(lambda c: c.execute("UPDATE jobs SET due_at = 1").rowcount)
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: any(message.attachments for message in world.channel.history()))
    assert await jobs(world, "cancelled_at") == [{"cancelled_at": None}]


class Dies(Immediate):
    """A worker that is lost at its second step."""

    steps = 0

    def execute(self, plan: Plan) -> PlanResult:
        self.steps += plan.unit is Unit.DENOISE
        if self.steps == 2:
            raise ConnectionResetError("the device has fallen off the bus")
        return super().execute(plan)


async def test_a_card_says_that_the_device_is_being_restarted(world_of: OpenWorld) -> None:
    gate, lives = threading.Event(), 0

    def worker(inner: Worker) -> Immediate:
        nonlocal lives
        lives += 1
        if lives == 1:
            return Dies(inner)
        gate.wait(30)
        return Immediate(inner)

    async with world_of(worker) as world:
        await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(lambda: world.env.bot.engine.state == "recovering")
        await world.env.bot.jobs.check()
        await until(lambda: "The device stopped <t:" in shown(world)[0])
        gate.set()
        await until(lambda: bool(world.channel.history()[0].attachments))


async def test_a_card_says_how_far_loading_is_and_when_it_is_over(world_of: OpenWorld) -> None:
    gate = threading.Event()
    device = HeldUp(Unit.ENCODE_TEXT)

    def slow(inner: Worker) -> Immediate:
        gate.wait(30)
        return device.wrap(inner)

    async with world_of(slow, load=False) as world:
        await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT))
        assert "The model started loading <t:" in shown(world)[0]
        world.env.bot.engine._fleet.drivers[0].stage = "downloading: 3.1 of 20.5 GB"
        world.env.bot.jobs._active._refreshed_at -= 15
        await world.env.bot.jobs.check()
        await until(lambda: "(downloading: 3.1 of 20.5 GB)" in shown(world)[0])
        gate.set()
        await until(device.entered.is_set)
        await world.env.bot.jobs.check()
        await until(lambda: "You are next" in shown(world)[0])
        await let_go_on(world, device)


async def test_draining_and_restarting_are_two_things(world: World) -> None:
    world.env.bot.jobs.drain()
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert "My operator is about to restart me. Your request is saved" in shown(world)[0]
    await world.env.bot.close()
    assert "I'm restarting. Your request is saved" in shown(world)[0]


async def test_own_requests_move_up_when_one_has_ended(world_of: OpenWorld) -> None:
    device = HeldUp()
    async with world_of(device.wrap, concurrent_jobs=1) as world:
        for _ in range(3):
            await leave_running(world, world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(device.entered.is_set)
        first, second, third = world.channel.history()
        assert "1 of your own requests comes first" in second.content
        assert "2 of your own requests come first" in third.content
        await leave_running(world, world.member.click(second, label="Cancel"))
        await until(lambda: "1 of your own requests comes first" in shown(world)[2])
        await let_go_on(world, device)
        assert first.id not in {message.id for message in world.channel.history()}
