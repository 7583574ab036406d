"""A job from submission to its end, without Discord and without an engine that renders."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import Refusal
from bot.jobs.card import Card
from bot.jobs.job import Job, JobProgress, JobRequest
from bot.jobs.service import JobService
from bot.requests.spec import ImageOptions, build_spec
from bot.store.admission import Terms
from bot.store.database import Database
from bot.store.guild_settings import INSTANCE
from bot.store.limits import LIMIT_NAMES, Requester
from tests.helpers.cards import NoOutbox, RecordingCard, show_card
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.types import DeviceLost
from zimage_engine.weights import complete_profile

MEMBER, SERVER = 5, 6
UNLIMITED = dict.fromkeys(LIMIT_NAMES)
PROFILE = complete_profile(find_profile("demo"))


class SlowCard:
    """Shows a card when it is told to, or fails to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[Card] = asyncio.get_running_loop().create_future()
        self.progress: JobProgress | None = None

    async def __call__(self, job: Job, progress: JobProgress) -> Card:
        self.progress = progress
        self.asked.set()
        return await self.answer


@pytest.fixture
async def service(database: Database, tmp_path: Path) -> AsyncIterator[JobService]:
    engine = Engine(EngineConfig(PROFILE, "cpu"))  # takes requests, and is never started
    service = JobService(
        database,
        engine,
        NoOutbox(),
        tmp_path / "data" / "images",
        Terms(UNLIMITED, UNLIMITED),
        server_weights={SERVER: 2.0},
    )
    await service.start()
    service.deliveries.start()
    yield service
    tasks = [active.task for active in service.active.values() if active.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def request(event_id: int) -> JobRequest:
    """Ask for one picture, which costs one credit."""
    spec, count = build_spec(ImageOptions("a red circle"), PROFILE, max_count=4)
    return JobRequest(event_id, spec, count, Requester(MEMBER, SERVER, SERVER), 7, "public", None)


async def state(database: Database) -> tuple[str, str | None]:
    (row,) = await database.query("SELECT state, error_code FROM jobs")
    return row["state"], row["error_code"]


async def ledger(database: Database) -> list[tuple[str, int]]:
    return [(row["entry"], row["credits"]) for row in await database.query("SELECT entry, credits FROM ledger")]


GIVEN_BACK = [("reserved", 100), ("settled", 0), ("given_back", 100)]


async def test_a_job_whose_card_cannot_be_shown_is_cancelled_and_costs_nothing(
    service: JobService, database: Database
) -> None:
    async def fail(job: Job, progress: JobProgress) -> Card:
        raise ConnectionError("no answer")

    with pytest.raises(ConnectionError):
        await service.run(request(1), fail)
    assert await state(database) == ("cancelled", "not_acknowledged")
    assert await ledger(database) == GIVEN_BACK
    assert not service.active


async def test_the_device_is_shared_by_servers_and_direct_messages_and_by_the_members_of_each(
    service: JobService,
) -> None:
    """The weight is the operator's for the server; direct messages are one group, of weight 1."""
    direct = replace(request(2), requester=Requester(MEMBER, INSTANCE, None))
    for asked in (request(1), direct):
        assert await service.run(asked, show_card) is not None
    tasks = service._engine._queue._scheduler.tasks
    await until(lambda: len(tasks) == 2)
    assert {(task.group, task.group_weight, task.owner) for task in tasks.values()} == {
        (SERVER, 2.0, MEMBER),
        (INSTANCE, 1.0, MEMBER),
    }


async def test_a_job_whose_command_is_cancelled_while_its_card_is_shown_costs_nothing(
    service: JobService, database: Database
) -> None:
    card = SlowCard()
    running = asyncio.create_task(service.run(request(1), card))
    await card.asked.wait()
    assert len(service.active) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await state(database) == ("cancelled", "not_acknowledged")
    assert await ledger(database) == GIVEN_BACK
    assert not service.active


async def test_a_job_can_be_cancelled_while_its_card_is_being_shown(service: JobService, database: Database) -> None:
    slow, card = SlowCard(), RecordingCard()
    running = asyncio.create_task(service.run(request(1), slow))
    await slow.asked.wait()
    (job_id,) = service.active
    await service.cancellation.cancel(job_id)
    slow.answer.set_result(card)
    job = await running
    assert job is not None
    assert job.id == job_id
    await until(lambda: not service.active)
    assert card.refusals == ["Cancelled, 0"]
    assert await state(database) == ("cancelled", None)
    assert await ledger(database) == GIVEN_BACK
    with pytest.raises(Refusal, match="Already cancelled"):
        await service.cancellation.cancel(job_id)


async def test_cancelling_all_waits_for_a_job_whose_card_is_being_shown(service: JobService) -> None:
    slow = SlowCard()
    running = asyncio.create_task(service.run(request(1), slow))
    await slow.asked.wait()
    cancelling = asyncio.create_task(service.cancellation.cancel_all_of(MEMBER))
    await asyncio.sleep(0)
    assert not cancelling.done()
    slow.answer.set_result(RecordingCard())
    assert await cancelling == 1
    assert not service.active
    await running
    assert await service.cancellation.cancel_all_of(MEMBER) == 0


async def test_cancelling_all_does_not_wait_for_ever(service: JobService) -> None:
    slow = SlowCard()
    running = asyncio.create_task(service.run(request(1), slow))
    await slow.asked.wait()
    assert await service.cancellation.cancel_all_of(MEMBER, seconds=0.05) == 1
    assert len(service.active) == 1
    slow.answer.set_result(RecordingCard())
    await running


async def test_an_event_that_comes_again_shows_no_second_card(service: JobService, database: Database) -> None:
    service.pause(INSTANCE)
    assert await service.run(request(1), show_card) is not None
    second = SlowCard()
    assert await service.run(request(1), second) is None
    assert not second.asked.is_set()
    assert len(service.active) == 1


async def test_a_card_says_at_first_what_its_job_waits_for(service: JobService) -> None:
    service.pause(SERVER)
    card = RecordingCard()

    async def show(job: Job, progress: JobProgress) -> Card:
        card.show(progress)
        return card

    job = await service.run(request(1), show)
    assert job is not None
    assert service.is_waiting(job.id)
    assert [progress.state for progress in card.shown] == ["paused", "paused"]
    await service.cancellation.cancel(job.id)
    await until(lambda: not service.active)
    assert card.refusals == ["Cancelled, 0"]


class BrokenCard(RecordingCard):
    """A card that was shown and cannot be changed any more."""

    def show(self, progress: JobProgress) -> None:
        raise RuntimeError("the card is broken")

    async def remove(self) -> None:
        raise RuntimeError("the card is broken")

    async def tell_cancelled(self, note: str, charged: int, *, known: bool) -> None:
        raise RuntimeError("the card is broken")


async def show_broken_card(job: Job, progress: JobProgress) -> Card:
    return BrokenCard()


async def test_a_card_that_breaks_after_it_was_shown_does_not_cancel_its_job(
    service: JobService, database: Database
) -> None:
    service.pause(SERVER)
    with pytest.raises(RuntimeError, match="broken"):
        await service.run(request(1), show_broken_card)
    (job_id,) = service.active
    assert service.is_waiting(job_id)
    assert await state(database) == ("queued", None)


async def test_a_card_that_breaks_at_the_end_keeps_no_place_of_its_owner(
    service: JobService, database: Database
) -> None:
    job = await service.run(request(1), show_broken_card)
    assert job is not None
    await service.cancellation.cancel(job.id)
    await until(lambda: not service.active)
    assert await state(database) == ("cancelled", None)
    (row,) = await database.query("SELECT due_at > ended_at AS later FROM jobs")
    assert row["later"] == 1, "the loop ends the card later"


async def test_a_job_that_is_asked_for_while_draining_is_kept(service: JobService, database: Database) -> None:
    service.drain()
    card = RecordingCard()

    async def show(job: Job, progress: JobProgress) -> Card:
        card.show(progress)
        return card

    job = await service.run(request(1), show)
    assert job is not None
    assert {progress.state for progress in card.shown} == {"draining"}
    assert service.under_way == 0, "nothing is on the device"
    assert service.is_waiting(job.id)
    assert await state(database) == ("queued", None)
    service.undrain()
    assert not service.is_waiting(job.id)
    await until(lambda: bool(service.active[job.id].handles))


async def test_nothing_is_admitted_once_the_service_is_closed(service: JobService, database: Database) -> None:
    await service.close(1)
    with pytest.raises(Refusal, match="I'm restarting"):
        await service.run(request(1), show_card)
    assert await database.query("SELECT id FROM jobs") == []


async def test_a_device_that_was_lost_counts_an_attempt_although_the_program_stops(
    service: JobService, database: Database
) -> None:
    """Else a job that breaks the device every time would be tried for ever."""
    job = await service.run(request(1), show_card)
    assert job is not None
    await until(lambda: bool(service.active[job.id].handles))
    rendering = service.active[job.id].rendering
    assert rendering is not None
    await rendering._mark_started()
    service._engine._fleet.fail(DeviceLost("The device hangs."))
    await service.suspend()
    await service.close(1.0)
    (row,) = await database.query("SELECT state, attempts FROM jobs")
    assert (row["state"], row["attempts"]) == ("queued", 1)


async def test_a_stop_goes_on_although_rows_cannot_be_written(
    service: JobService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(connection: sqlite3.Connection) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("bot.store.recovery.requeue_running", full)
    await service.suspend()
    await service.close(1.0)
    assert service.closed


async def test_a_job_between_the_device_and_its_delivery_is_under_way(service: JobService) -> None:
    class CardBeingEdited(RecordingCard):
        def __init__(self) -> None:
            super().__init__()
            self.stopping, self.edited = asyncio.Event(), asyncio.Event()

        async def stop(self) -> None:
            self.stopping.set()
            await self.edited.wait()

    card = CardBeingEdited()

    async def show(job: Job, progress: JobProgress) -> Card:
        del job, progress
        return card

    job = await service.run(request(1), show)
    assert job is not None
    await until(lambda: bool(service.active[job.id].handles))
    await service.cancellation.cancel(job.id)
    await card.stopping.wait()
    assert service.under_way == 1
    card.edited.set()
    await until(lambda: service.under_way == 0)
