"""Durations as people type them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.moderation.durations import parse_period

YEARS = 3650 * 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1800),
        ("12h", 43_200),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1d12h", 129_600),
        ("12h1d", 129_600),
        (" 1 D  12 H ", 129_600),
        ("1m", 60),
        ("007d", 604_800),
        ("3650d", YEARS),
    ],
)
def test_a_period_in_seconds(text: str, seconds: int) -> None:
    assert parse_period(text) == seconds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("soon", "“soon” is not a period: write minutes, hours, days or weeks, like 30m, 12h, 7d, 2w or 1d12h."),
        ("", "“” is not a period"),
        ("7", "“7” is not a period"),
        ("d7", "“d7” is not a period"),
        ("-1d", "“-1d” is not a period"),
        ("1.5h", "“1.5h” is not a period"),
        ("1y", "“1y” is not a period"),
        ("٧d", "“٧d” is not a period"),
        ("9" * 5000 + "d", "“99999999999999999999” is not a period"),
        ("0m", "A period is at least one minute: write 1m or more."),
        ("0d0h", "A period is at least one minute: write 1m or more."),
        ("3651d", "A period is at most ten years: write 3650d or less."),
        ("3650d1m", "A period is at most ten years: write 3650d or less."),
        ("999999999w", "A period is at most ten years"),
    ],
)
def test_what_is_no_period_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_period(text)
    assert sentence in str(caught.value)


@given(st.text(alphabet="0123456789mhdw dDé", max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Refusal):
        assert 60 <= parse_period(text) <= YEARS


def test_a_long_text_is_refused_at_once() -> None:
    for text in ("1d" * 3000 + "x", "1 " * 3000, " " * 6000):
        begun = time.thread_time()
        with pytest.raises(Refusal):
            parse_period(text)
        assert time.thread_time() - begun < 0.5
