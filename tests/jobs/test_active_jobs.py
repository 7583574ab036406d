"""Jobs that an earlier process accepted, without Discord and without an engine that renders."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bot.jobs.job import Job, JobProgress, JobRequest
from bot.jobs.service import JobService
from bot.requests.originals import Original
from bot.requests.spec import ImageOptions, build_edit_spec, build_spec
from bot.store import job_rows, jobs
from bot.store.admission import Terms
from bot.store.database import Database
from bot.store.job_states import CancelCause
from bot.store.limits import LIMIT_NAMES, Requester
from bot.store.reply_tokens import ReplyToken
from tests.helpers.cards import NoOutbox, RecordingCard, show_card
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.pixels import read_mask, read_original
from zimage_engine.types import RawImage
from zimage_engine.weights import complete_profile

UNLIMITED = dict.fromkeys(LIMIT_NAMES)
PROFILE = complete_profile(find_profile("demo"))


class Process:
    """A process over the same database; its engine takes requests and never renders."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.outbox = NoOutbox()
        self.engine = Engine(EngineConfig(PROFILE, "cpu"))
        self.service = JobService(
            database, self.engine, self.outbox, folder / "data" / "images", Terms(UNLIMITED, UNLIMITED)
        )

    @classmethod
    async def accepting(cls, database: Database, folder: Path, *requests: JobRequest) -> tuple[Process, list[Job]]:
        """Start a process and have it accept these requests. Returns it and the jobs."""
        process = cls(database, folder)
        await process.service.start()
        jobs_of = [await process.service.run(each, show_card) for each in requests]
        return process, [job for job in jobs_of if job is not None]

    async def die(self) -> None:
        """End all tasks, writing nothing."""
        tasks = [active.task for active in self.service.active.values() if active.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def request(event_id: int, member: int = 5) -> JobRequest:
    spec, count = build_spec(ImageOptions("a red circle", count=2, seed=7), PROFILE, max_count=4)
    return JobRequest(event_id, spec, count, Requester(member, 6, 6), 7, "public", None, defaults="size large")


def edit_request(event_id: int) -> JobRequest:
    image = RawImage(256, 256, bytes(range(256)) * 768)
    mask = bytes([0, 255]) * (256 * 128)
    options = ImageOptions("a green star", strength=0.5)
    spec, count = build_edit_spec(options, PROFILE, max_count=4, size=PROFILE.base_size, masked=True)
    return JobRequest(
        event_id, spec, count, Requester(5, 6, 6, (8,), (7,)), 7, "private", ReplyToken(1, "secret", 2**40),
        kind="edit", original=Original(image, mask),
        original_link="https://discord.com/channels/1/2/3", response_file_limit=99, defaults="size large",
    )  # fmt: skip


async def test_jobs_go_on_in_their_old_order_and_one_that_was_on_the_device_goes_alone(
    database: Database, tmp_path: Path
) -> None:
    first, admitted = await Process.accepting(database, tmp_path, request(1), request(2), request(3))
    ids = [job.id for job in admitted]
    await until(lambda: all(active.handles for active in first.service.active.values()))
    await database.write(partial(jobs.started, job_id=ids[1], now=5))
    await first.die()
    second = Process(database, tmp_path)
    await second.service.start()
    assert list(second.service.active) == ids
    active = second.service.active
    await until(lambda: bool(active[ids[0]].handles))
    assert [second.service.is_waiting(job_id) for job_id in ids] == [False, True, True], "one before it, none beside it"
    shown = [[progress.state for progress in second.outbox.restored[job_id].shown] for job_id in ids]
    assert [states[-1] for states in shown] == ["loading", "waiting", "waiting"]
    assert all(progress.restarted for card in second.outbox.restored.values() for progress in card.shown)
    await second.service.cancellation.cancel(ids[0])
    await until(lambda: bool(active[ids[1]].handles))
    assert second.service.is_waiting(ids[2])
    await second.die()


async def test_six_jobs_at_once_have_six_places(database: Database, tmp_path: Path) -> None:
    """Two pictures each; none of the six is on the engine yet when the cards are shown."""
    process = Process(database, tmp_path)
    await process.service.start()
    cards = [RecordingCard() for _ in range(6)]
    shown = asyncio.Event()

    async def show(card: RecordingCard, job: Job, progress: JobProgress) -> RecordingCard:
        card.show(progress)
        await shown.wait()
        return card

    asked = [
        asyncio.create_task(process.service.run(request(number, member=number), partial(show, card)))
        for number, card in enumerate(cards, 1)
    ]
    await until(lambda: all(card.shown for card in cards))
    shown.set()
    await asyncio.gather(*asked)
    assert sorted(card.shown[0].position or 0 for card in cards) == [0, 2, 4, 6, 8, 10]
    await until(lambda: all(len(card.shown) > 2 for card in cards))
    by_engine = [card.shown[-1].position for card in cards]
    assert len(set(by_engine)) == 6, "the engine says of no two that they are next"
    await process.die()


async def test_a_job_that_is_rebuilt_is_the_job_that_was_admitted(database: Database, tmp_path: Path) -> None:
    first, (admitted,) = await Process.accepting(database, tmp_path, edit_request(1))
    await first.die()
    second = Process(database, tmp_path)
    await second.service.start()
    active = second.service.active[admitted.id]
    await until(lambda: bool(active.handles))
    rebuilt = active.job
    assert (rebuilt.id, rebuilt.image_ids, rebuilt.nonce, rebuilt.credits, rebuilt.created_at) == (
        admitted.id,
        admitted.image_ids,
        admitted.nonce,
        admitted.credits,
        admitted.created_at,
    )
    # Roles and places are needed for the admission alone.
    assert rebuilt.request == replace(admitted.request, requester=Requester(5, 6, 6))
    (handle,) = active.handles
    original = edit_request(1).original
    assert original is not None
    assert read_original(handle.request) == original.image
    assert read_mask(handle.request) == original.mask
    assert handle.request.keep_outside
    await second.die()


async def test_an_edit_whose_original_is_gone_fails_with_a_sentence(database: Database, tmp_path: Path) -> None:
    first, (job,) = await Process.accepting(database, tmp_path, edit_request(1))
    await first.die()
    for file in (tmp_path / "data" / "sources").iterdir():
        file.unlink()
    second = Process(database, tmp_path)
    await second.service.start()
    second.service.deliveries.start()
    await until(lambda: not second.service.active)
    row = await database.read(partial(job_rows.find, job_id=job.id))
    assert row is not None
    assert row.state == "failed"
    assert "is no longer kept" in row.note
    await until(lambda: bool(second.outbox.restored[job.id].refusals))
    assert second.outbox.restored[job.id].refusals == [row.note]


@pytest.mark.parametrize(
    ("cause", "note"),
    [
        ("owner", "Cancelled"),
        ("moderator", "Cancelled by a moderator"),
        ("card_deleted", "Cancelled, since its message was deleted"),
        ("data_deleted", ""),
    ],
)
async def test_a_cancellation_and_its_cause_outlive_the_process(
    database: Database, tmp_path: Path, cause: CancelCause, note: str
) -> None:
    first, (job,) = await Process.accepting(database, tmp_path, request(1))
    await until(lambda: bool(first.service.active[job.id].handles))
    await first.service.cancellation.cancel(job.id, cause)
    await first.die()  # before the running unit had ended
    second = Process(database, tmp_path)
    await second.service.start()
    second.service.deliveries.start()
    await until(lambda: not second.service.active)
    row = await database.read(partial(job_rows.find, job_id=job.id))
    assert row is not None
    assert (row.state, row.note, [image.charge for image in row.images]) == ("cancelled", note, [0, 0])
