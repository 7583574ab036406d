"""When deliveries are tried again, and what is told beside the pictures."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

from bot.jobs.completion import pause_after
from bot.jobs.job import result_note
from bot.store.accounts import DAY
from bot.store.job_rows import ImageRow, JobRow
from bot.store.jobs import ImageState

HOUR = 3600


def row(*states: ImageState, **fields: Any) -> JobRow:
    images = tuple(ImageRow(str(i), i, i, state, None, None, None) for i, state in enumerate(states))
    job = JobRow(
        id=1, event_id=1, state="rendered", owner_id=5, scope_id=6, guild_id=6, channel_id=7, visibility="public",
        kind="imagine", spec="{}", credits=100, nonce="n", reply=None, by_interaction=False, created_at=0,
        rendered_at=1, cancelled_at=None, cancel_cause=None, ended_at=None, attempts=0, delivery_attempts=0,
        device_ms=0,
        concurrent_jobs=None, response_file_limit=None, parent_image_id=None, original_link=None, defaults="",
        truncated=False, spoiler=False, due_at=None, card_message_id=None, result_message_id=None, note="",
        images=images,
    )  # fmt: skip
    return replace(job, **fields)


def test_attempts_come_by_the_table_then_hourly_for_a_day() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, 30)]
    assert pauses[:6] == [10, 60, 5 * 60, 15 * 60, HOUR, HOUR]
    assert sum(at < DAY for at in accumulate(pauses)) == 4 + 23, "within 24 hours"


def test_nothing_is_told_beside_pictures_that_are_all_there() -> None:
    assert result_note(row("rendered", "rendered")) == ""


def test_missing_images_settings_and_a_long_prompt_are_told() -> None:
    note = result_note(row("rendered", "failed", "cancelled", defaults="With size large.", truncated=True))
    assert note == (
        "1 of 3 pictures failed and was not charged. 1 of 3 pictures was cancelled. With size large. "
        "The prompt was longer than the 512 tokens the model reads; its end had no effect."
    )
