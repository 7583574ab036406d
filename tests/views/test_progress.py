"""What a card says, and when it is edited."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.jobs.job import Job, JobProgress, JobRequest
from bot.requests.spec import ImageOptions, build_spec
from bot.store.limits import Requester
from bot.views.progress import ProgressCard
from bot.views.progress_lines import card_line, time_to_show
from tests.helpers.typist import Sheet
from tests.helpers.waiting import until
from zimage_engine.catalog import find_profile
from zimage_engine.weights import complete_profile

SPEC, COUNT = build_spec(ImageOptions("a red circle", count=4), complete_profile(find_profile("demo")), max_count=4)
JOB = Job(1, JobRequest(1, SPEC, COUNT, Requester(5, 6, 6), 7, "public", None), 400, ("a",) * 4, "j", 0, 2)
LATER = 2_000_000_000.0
SECONDS = st.floats(0, 100_000)
LINES = {
    JobProgress("queued"): "In the queue.",
    JobProgress("queued", 0): "You are next.",
    JobProgress("queued", 1, LATER): "In the queue: 1 picture before yours, ready <t:2000000000:R>.",
    JobProgress("queued", 6, 5.0): "In the queue: 6 pictures before yours.",
    JobProgress("held", 1): "In the queue: 1 of your own requests comes first; you may have 2 running at a time.",
    JobProgress("held", 3): "In the queue: 3 of your own requests come first; you may have 2 running at a time.",
    JobProgress("paused"): "Paused by an admin of this server. Your request stays in the queue, and goes on by itself.",
    JobProgress("paused", by_operator=True): (
        "Paused by my operator. Your request stays in the queue, and goes on by itself."
    ),
    JobProgress("kept", restarted=True): "I'm restarting. Your request is saved and starts when I'm back.",
    JobProgress("loading", 0, since=9.5, stage="loading"): (
        "The model started loading <t:9:R>. Your picture comes after that."
    ),
    JobProgress("loading", 2, since=9.5, stage="downloading: 3.1 of 20.5 GB"): (
        "The model started loading <t:9:R> (downloading: 3.1 of 20.5 GB). Your picture comes after that; "
        "2 pictures before yours."
    ),
    JobProgress("recovering", 0, since=9.5, stage="restarting"): (
        "The device stopped <t:9:R>, and I'm restarting it. Your picture goes on by itself."
    ),
    JobProgress("running", ready_at=LATER, steps_done=16, steps_total=32, images_done=2): (
        "50% `██████░░░░░░`, picture 3 of 4, ready <t:2000000000:R>"
    ),
    JobProgress("queued", 0, restarted=True): "I restarted; your request is back in the queue.\nYou are next.",
}


@pytest.mark.parametrize(("progress", "line"), LINES.items())
def test_the_line_of_a_card(progress: JobProgress, line: str) -> None:
    assert card_line(JOB, progress) == line


@given(st.none() | SECONDS, st.none() | SECONDS, SECONDS)
def test_the_time_on_a_card_is_near_the_forecast_and_never_over(
    shown: float | None, forecast: float | None, now: float
) -> None:
    result = time_to_show(shown, forecast, now)
    if forecast is None or forecast <= now:
        assert result is None
        return
    assert result is not None
    assert result > now
    assert abs(result - forecast) <= max(5, 0.2 * (forecast - now))
    if shown is not None and shown > now and abs(shown - forecast) < 5:
        assert result == shown, "it counts down by itself"


def card_on(sheet: Sheet, **options: Any) -> ProgressCard:
    async def send_instead(job: Job, text: str, *, directly: bool) -> None:
        raise AssertionError(f"the card of {job.id} is there: {text}")

    return ProgressCard(JOB, sheet, 0.01, send_instead, **options)  # type: ignore[arg-type]


async def test_the_card_is_edited_only_if_the_time_has_moved_much() -> None:
    sheet, at = Sheet("In the queue."), time.time() + 600
    card = card_on(sheet)
    for ready_at in (at, at + 60, at - 90, at + 300):
        card.show(JobProgress("queued", 3, ready_at))
        await asyncio.sleep(0.1)
    assert [text.partition("<t:")[2][:10] for text in sheet.shown[1:]] == [str(int(at)), str(int(at + 300))]
    await card.stop()


async def test_a_time_that_has_passed_goes_away_by_itself() -> None:
    sheet = Sheet("In the queue.")
    card = card_on(sheet)
    card.show(JobProgress("queued", 1, time.time() + 0.5))
    await until(lambda: len(sheet.shown) == 2)
    assert "ready <t:" in sheet.shown[1]
    await until(lambda: len(sheet.shown) == 3)
    assert sheet.shown[2].endswith("In the queue: 1 picture before yours.")
    await card.stop()


async def test_what_the_card_says_already_is_not_sent_again() -> None:
    sheet = Sheet("``a red circle``\nYou are next.")
    card = card_on(sheet, shown=sheet.shown[0])
    card.show(JobProgress("queued", 0))
    await asyncio.sleep(0.1)
    assert len(sheet.shown) == 1
    await card.stop()
