"""What the delivery loop takes up: rows that nothing works on, and results that are lost or too late."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from bot.jobs.delivery import Outage, Posted
from bot.playground.world import World
from bot.store.accounts import DAY
from bot.views import outbox
from tests.helpers.job_worlds import PROMPT, HeldUp, all_ended, change, jobs, rendered_and_kept, results
from tests.helpers.waiting import until
from tests.helpers.worlds import OpenWorld, restart
from zimage_engine.types import Unit


async def test_a_row_that_nothing_works_on_is_taken_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a disk that was full: a job is open in the database and unknown in memory."""
    monkeypatch.setattr("bot.jobs.active_jobs._UNKNOWN_SECONDS", 0.0)
    world.env.bot.jobs.drain()
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    (active,) = world.env.bot.jobs.active.values()
    world.env.bot.jobs._active.remove(active)
    world.env.bot.jobs._dispatcher.finish(active.job.id)
    world.env.bot.jobs.undrain()
    await all_ended(world)
    assert len(results(world)) == 1


async def test_a_job_in_whose_middle_nothing_could_be_written_goes_on_when_it_can(
    world_of: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.jobs.active_jobs._UNKNOWN_SECONDS", 0.0)
    device = HeldUp(Unit.DECODE)
    async with world_of(device.wrap) as world:
        asked = asyncio.create_task(world.member.slash(world.channel, "imagine", prompt=PROMPT))
        await until(device.entered.is_set)
        await until(lambda: any(active.started for active in world.env.bot.jobs.active.values()))
        await change(world, "PRAGMA query_only = 1")
        device.gate.set()
        await until(lambda: not world.env.bot.jobs.active)
        await asyncio.wait([asked], timeout=5)
        assert await jobs(world) == [{"state": "running", "attempts": 0}]
        # The pragma is the connection's own, and no transaction that it forbids can lift it.
        await world.env.bot.database._write_thread.run(
            partial(world.env.bot.database._write_connection.execute, "PRAGMA query_only = 0")
        )
        await all_ended(world)
        assert await jobs(world) == [{"state": "delivered", "attempts": 1}]
        assert len(results(world)) == len(world.channel.history()) == 1


async def test_after_a_day_an_undelivered_picture_is_deleted_refunded_and_told(world: World) -> None:
    world.env.bot.jobs.deliveries._started = False
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await change(world, "UPDATE jobs SET rendered_at = rendered_at - ?", DAY)
    (image,) = await world.env.bot.database.query("SELECT file FROM images")
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    assert await jobs(world, "state, error_code") == [{"state": "expired", "error_code": "undelivered"}]
    (message,) = world.channel.history()
    assert PROMPT in message.content
    assert "I could not post your picture for 24 hours, so I deleted it. Nothing was charged." in message.content
    assert not (world.env.bot.settings.image_dir / image["file"]).exists()
    ledger = await world.env.bot.database.query("SELECT entry, credits FROM ledger ORDER BY id")
    assert [tuple(row) for row in ledger] == [("reserved", 100), ("settled", 0), ("given_back", 100)]


async def test_a_picture_that_was_posted_though_the_answer_was_lost_is_paid_when_its_day_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = outbox.ChannelDestination.post

    async def lose_answer(*arguments: Any) -> Posted:
        await post(*arguments)
        raise Outage("no answer")

    monkeypatch.setattr(outbox.ChannelDestination, "post", lose_answer)
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert await jobs(world, "state, delivery_attempts") == [{"state": "rendered", "delivery_attempts": 1}]
    await change(world, "UPDATE jobs SET rendered_at = rendered_at - ?, due_at = 0", DAY)
    await world.env.bot.jobs.deliveries.check()
    await all_ended(world)
    assert await jobs(world) == [{"state": "delivered", "attempts": 0}]
    assert len(results(world)) == 1
    ledger = await world.env.bot.database.query("SELECT entry, credits FROM ledger ORDER BY id")
    assert [tuple(row) for row in ledger] == [("reserved", 100), ("settled", 100)]


async def test_a_picture_whose_file_is_lost_is_not_charged(world: World) -> None:
    lost, _ = await rendered_and_kept(world, count=2)
    lost.unlink()
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    (message,) = results(world)
    assert len(message.attachments) == 1
    assert "1 of 2 pictures failed and was not charged." in message.content
    ledger = await world.env.bot.database.query("SELECT entry, credits FROM ledger ORDER BY id")
    assert [tuple(row) for row in ledger] == [("reserved", 200), ("settled", 100), ("given_back", 100)]


async def test_a_job_whose_files_are_all_lost_is_refunded_and_told(world: World) -> None:
    (lost,) = await rendered_and_kept(world, count=1)
    lost.unlink()
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    (message,) = world.channel.history()
    assert message.content.endswith("Your picture was lost on my side before I could post it. Nothing was charged.")
    assert await jobs(world, "state, error_code") == [{"state": "expired", "error_code": "files_lost"}]


async def test_a_file_that_cannot_be_read_now_is_not_given_up(world: World) -> None:
    """As with too many open files: the picture is still there."""
    (file,) = await rendered_and_kept(world, count=1)
    moved = file.rename(file.with_suffix(".moved"))
    file.mkdir()  # reading it fails, but not because it is gone
    world.env.bot.jobs.deliveries.start()
    await world.env.bot.jobs.deliveries.check()
    await until(lambda: not world.env.bot.jobs.deliveries.job_ids)
    assert await jobs(world, "state") == [{"state": "rendered"}]
    file.rmdir()
    moved.rename(file)
    await all_ended(world)
    assert len(results(world)) == 1


async def test_a_row_that_cannot_be_read_keeps_no_other_job_from_going_on(world: World) -> None:
    world.env.bot.jobs.deliveries._started = False
    await world.member.slash(world.channel, "imagine", prompt="a result to post")
    world.env.bot.jobs.drain()
    for prompt in ("a damaged one", PROMPT):
        await world.member.slash(world.channel, "imagine", prompt=prompt)
    await change(world, "UPDATE jobs SET spec = '{}' WHERE id <= 2")
    await restart(world)
    await all_ended(world)
    assert await jobs(world, "state, error_code") == [
        {"state": "expired", "error_code": "unreadable"},
        {"state": "failed", "error_code": "unreadable"},
        {"state": "delivered", "error_code": None},
    ]
    given_back = await world.env.bot.database.query("SELECT job_id FROM ledger WHERE entry = 'given_back' ORDER BY 1")
    assert [row["job_id"] for row in given_back] == [1, 2]
