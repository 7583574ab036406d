"""Jobs over a restart of the program, and results that cannot be posted at first."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.playground.world import World
from bot.store import open_cards, privacy
from bot.store.accounts import DAY
from bot.store.open_cards import OpenCard
from bot.store.reply_tokens import Visibility
from bot.views.outbox import DiscordOutbox
from tests.helpers.faults import Faulty
from tests.helpers.waiting import leave_running, until
from tests.helpers.worlds import OpenWorld, new_client, restart
from zimage_engine.device.worker import Worker
from zimage_engine.types import Plan, PlanResult, Unit

PROMPT = "a red circle on a blue background"
KEPT = "I'm restarting. Your request is saved and starts when I'm back."
BACK = "I restarted; your request is back in the queue."


async def jobs(world: World, columns: str = "state, attempts") -> list[dict[str, Any]]:
    rows = await world.env.bot.database.query(f"SELECT {columns} FROM jobs ORDER BY id")  # noqa: S608
    return [dict(row) for row in rows]


async def change(world: World, sql: str, *parameters: object) -> None:
    await world.env.bot.database.write(lambda connection: connection.execute(sql, parameters).rowcount)


async def all_ended(world: World) -> None:
    """Wait until nothing is open and every card has ended."""
    for _ in range(600):
        left = await world.env.bot.database.query("SELECT 1 FROM jobs WHERE ended_at IS NULL OR due_at IS NOT NULL")
        if not left:
            return
        await world.env.bot.jobs.deliveries.check()
        await asyncio.sleep(0.05)
    raise AssertionError(await jobs(world, "*"))


def results(world: World) -> list[Any]:
    return [message for message in world.channel.history() if message.attachments]


class HeldUp:
    """A device that waits at one unit until it is let go on."""

    def __init__(self, unit: Unit = Unit.DENOISE) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()
        self.wrap: Callable[[Worker], Faulty] = partial(Faulty, unit=unit, gate=self.gate, entered=self.entered)


async def start_again(world: World) -> None:
    await world.env.restart_bot(new_client(world.env.bot.settings))
    await world.env.bot.model_ready()


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
    await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    await change(world, "INSERT INTO guild_settings VALUES (?, 'paused', 'on')", world.channel.guild.id)
    await restart(world)
    (card,) = world.channel.history()
    assert BACK in card.content
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


class CountsImages:
    """A device that counts decoded images, and waits before it decodes one."""

    def __init__(self, inner: Worker, waits_at: int) -> None:
        self.inner, self.waits_at = inner, waits_at
        self.decoded = 0
        self.reached, self.gate = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def execute(self, plan: Plan) -> PlanResult:
        if plan.unit is Unit.DECODE:
            self.decoded += len(plan.requests)
            if self.decoded >= self.waits_at:
                self.reached.set()
                self.gate.wait(30)
        return self.inner.execute(plan)


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


async def end_left_over(world: World) -> None:
    """Check until the cards that an ended process left have been told."""
    deliveries = world.env.bot.jobs.deliveries
    for _ in range(100):
        await deliveries.check()
        if deliveries._ending_left_over is not None:
            await deliveries._ending_left_over
        if not deliveries._left_over:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("they were not told")


async def test_a_request_that_was_lost_while_its_picture_was_read_is_told_with_its_prompt(world: World) -> None:
    card = await world.env.bot.get_channel(world.channel.id).send("Reading the picture …")
    left = OpenCard(1, world.member.id, world.channel.guild.id, world.channel.id, "public", PROMPT, None, card.id)
    await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=5))
    await restart(world)
    await end_left_over(world)
    (message,) = world.channel.history()
    assert PROMPT in message.content
    assert message.content.endswith("nothing was charged: please ask again.")
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []


async def leave_open_card(
    world: World, event_id: int, visibility: Visibility, message_id: int | None, prompt: str = PROMPT
) -> None:
    guild_id, channel_id = world.channel.guild.id, world.channel.id
    left = OpenCard(event_id, world.member.id, guild_id, channel_id, visibility, prompt, None, message_id)
    await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=5))


async def test_a_lost_request_whose_private_card_cannot_be_edited_is_told_directly(world: World) -> None:
    await leave_open_card(world, 1, "private", 77)
    await restart(world)
    await end_left_over(world)
    (message,) = world.member.user.dm_channel.history()
    assert PROMPT in message.content
    assert message.content.endswith("nothing was charged: please ask again.")
    assert world.channel.history() == []


async def test_a_long_prompt_is_given_back_whole(world: World) -> None:
    prompt = "circle " * 250 + "end"
    await leave_open_card(world, 1, "private", 77, prompt)
    await world.env.bot.jobs.deliveries.prepare()
    await end_left_over(world)
    (lost,) = await rendered_and_kept(world, count=1, prompt=prompt)
    lost.unlink()
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    (told,), (failed,) = world.member.user.dm_channel.history(), world.channel.history()
    assert prompt in told.content
    assert prompt in failed.content


async def test_lost_requests_hold_up_no_delivery_while_discord_is_slow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = asyncio.Event()

    async def slow(outbox: DiscordOutbox, card: OpenCard) -> None:
        await answered.wait()

    monkeypatch.setattr(DiscordOutbox, "end_open_card", slow)
    await rendered_and_kept(world, count=1)
    await leave_open_card(world, 1, "private", 77)
    deliveries = world.env.bot.jobs.deliveries
    await deliveries.prepare()
    deliveries.start()
    await deliveries.check()
    await all_ended(world)
    assert len(results(world)) == 1
    answered.set()
    await end_left_over(world)
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []


async def test_the_card_of_a_lost_request_is_not_taken_for_another_bot_s_reply(world: World) -> None:
    asked = await world.member.send(world.channel, "hello")
    other = world.channel.guild.add_member(world.env.create_user("other", bot=True))
    await other.send(world.channel, "hi", reply_to=asked)
    posted = await world.env.bot.get_channel(world.channel.id).fetch_message(asked.id)
    card = await posted.reply("Reading the picture …")
    await leave_open_card(world, asked.id, "public", None)
    await restart(world)
    await end_left_over(world)
    (told,) = [message for message in world.channel.history() if message.id == card.id]
    assert PROMPT in told.content


async def test_the_lost_request_of_a_member_who_had_their_data_deleted_is_not_repeated(world: World) -> None:
    await leave_open_card(world, 1, "private", 77)
    client = world.env.bot
    await client.jobs.deliveries.prepare()
    await client.database.write(partial(privacy.forget_member, member_id=world.member.id, now=6))
    await end_left_over(world)
    assert world.member.user.dm_channel.history() == []


async def test_a_lost_request_is_told_by_a_later_check_if_the_row_cannot_be_deleted_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leave_open_card(world, 1, "private", 77)
    await leave_open_card(world, 2, "private", 78)
    deliveries = world.env.bot.jobs.deliveries
    await deliveries.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(open_cards, "close", None)
        await deliveries.check()
        assert deliveries._ending_left_over is not None
        await deliveries._ending_left_over
    await end_left_over(world)
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []


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


async def rendered_and_kept(world: World, count: int, prompt: str = PROMPT) -> list[Path]:
    """Render a job whose result is not delivered before the loop is started. Returns its pictures' files."""
    world.env.bot.jobs.deliveries._started = False
    await world.member.slash(world.channel, "imagine", prompt=prompt, count=count)
    rows = await world.env.bot.database.query("SELECT file FROM images ORDER BY position")
    return [world.env.bot.settings.image_dir / row["file"] for row in rows]


async def test_a_picture_whose_file_is_lost_is_not_charged(world: World) -> None:
    lost, _ = await rendered_and_kept(world, count=2)
    lost.unlink()
    world.env.bot.jobs.deliveries.start()
    await all_ended(world)
    (message,) = results(world)
    assert len(message.attachments) == 1
    assert "1 of 2 images failed and were not charged." in message.content
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


async def test_what_was_typed_in_the_last_moment_before_the_end_is_given_back(world: World) -> None:
    await world.env.bot.jobs.close(0)
    answered = await world.member.slash(world.channel, "imagine", prompt=PROMPT)
    assert answered.ephemeral
    assert answered.response.content == f"I'm restarting; please ask again in a minute.\n``{PROMPT}``"
    assert (await world.member.slash(world.channel, "ping")).response.content.endswith("in a minute.")


async def test_a_kept_job_is_cancelled_on_its_card_before_and_after_the_restart(world: World) -> None:
    world.env.bot.jobs.drain()
    for prompt in (PROMPT, "a green star"):
        await world.member.slash(world.channel, "imagine", prompt=prompt)
    await world.member.click(world.channel.history()[0], label="Cancel")
    await change(world, "INSERT INTO guild_settings VALUES (?, 'paused', 'on')", world.channel.guild.id)
    await change(world, "UPDATE jobs SET interaction_token = NULL, token_expires_at = NULL")
    await restart(world)
    (card,) = world.channel.history()
    await world.member.click(card, label="Cancel")
    await until(lambda: not world.channel.history())
    assert await jobs(world, "state") == [{"state": "cancelled"}] * 2
    said = [message.content for message in world.channel.history(viewer=world.member)]
    assert said == ["Cancelling …", "Cancelled.", "Cancelling …"], "no step is running"


async def test_a_card_that_was_never_sent_keeps_no_other_lost_request_from_being_told(world: World) -> None:
    card = await world.env.bot.get_channel(world.channel.id).send("Reading the picture …")
    place = (world.member.id, world.channel.guild.id, world.channel.id, "public", PROMPT, None)
    for number, message_id in enumerate((1, card.id), 1):
        left = OpenCard(number, *place, message_id)
        await world.env.bot.database.write(partial(open_cards.open_card, card=left, now=number))
    await restart(world)
    await world.env.bot.jobs.deliveries.check()
    (message,) = world.channel.history()
    assert message.content.endswith("nothing was charged: please ask again.")
    assert await world.env.bot.database.query("SELECT * FROM open_cards") == []
