"""Which values of limits and ceilings can be set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.moderation.limit_ranges import ceiling_range, limit_range
from bot.store.admission import Terms
from bot.store.limits import CEILINGS, LIMIT_NAMES, Ceiling, LimitName

TERMS = Terms(
    {},
    {},
    50_000,
    None,
    200,
    caps={"max_pixels": 2**22, "max_count": 4},
    floors={"max_pixels": 2**18, "credits_per_day": 5},
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("credits_per_day", "credits from 0.05 to 500"),
        ("concurrent_jobs", "a whole number from 1 to 200"),
        ("queued_jobs", "a whole number from 1 to 200"),
        ("max_pixels", "pixels from 512×512 to 2048×2048"),
        ("max_count", "a whole number from 1 to 4"),
    ],
)
def test_ranges_come_from_the_model_and_the_operator(name: LimitName, text: str) -> None:
    assert limit_range(name, TERMS).text == text


def test_without_a_ceiling_there_is_no_largest_value() -> None:
    assert limit_range("credits_per_day", Terms({}, {})).text == "credits from 0.01"


@given(st.sampled_from(LIMIT_NAMES), st.integers(0, 2**31))
def test_what_can_be_set_is_in_the_range(name: LimitName, number: int) -> None:
    allowed = limit_range(name, TERMS)
    try:
        value = allowed.parse(str(number))
    except Refusal as error:
        assert f"give {allowed.text}, 0 for none, or unlimited." in str(error) or "is not a value" in str(error)
    else:
        assert value == 0 or (value is not None and allowed.low <= value <= allowed.high)


@pytest.mark.parametrize("name", CEILINGS)
def test_an_operator_may_set_any_ceiling_that_lets_something_through(name: Ceiling) -> None:
    allowed = ceiling_range(name, TERMS)
    assert allowed.parse("100000") is not None
    assert allowed.parse("0") == 0
    assert allowed.parse("unlimited") is None


def test_a_ceiling_below_the_cheapest_picture_is_refused() -> None:
    with pytest.raises(Refusal, match=r"not a value for credits_per_user here: give credits from 0\.05, 0 for none"):
        ceiling_range("credits_per_user", TERMS).parse("0.02")
