"""Other people's words in our messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.inert import inert
from bot.requests.drafts import Draft
from bot.requests.spec import ImageSpec
from bot.views.errors import request_text
from bot.views.results import picture_label
from bot.views.text import MESSAGE_LIMIT, duration, result_text

ANY = st.text(max_size=300) | st.text("`@<>*:/ ", max_size=300)


@given(ANY, st.integers(20, 400))
def test_the_fence_holds_and_the_limit_too(text: str, limit: int) -> None:
    shown = inert(text, limit)
    assert len(shown) <= limit
    assert shown.startswith("``")
    assert shown.endswith("``")
    inside = shown[2:-2]
    assert "``" not in inside
    assert not inside.startswith("`")
    assert not inside.endswith("`")
    assert "\n" not in shown


@given(
    prompt=ANY,
    repeat=st.integers(1, 40),
    negative=ANY,
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    note=st.text(max_size=150),
)
def test_a_result_always_fits_into_a_message(
    prompt: str, repeat: int, negative: str, seeds: list[int], note: str
) -> None:
    spec = ImageSpec((prompt * repeat)[:4000], 2048, 2048, 1, 50, 7.5, negative, "m")
    assert len(result_text(spec, 2**63, seeds, 1234.5, note)) <= MESSAGE_LIMIT


def test_durations_for_people() -> None:
    assert [duration(seconds) for seconds in (0.2, 40, 89, 100, 400)] == [
        "about 1 s",
        "about 40 s",
        "about 89 s",
        "about 2 min",
        "about 7 min",
    ]


def test_one_step_is_no_steps() -> None:
    spec = ImageSpec("a cat", 256, 256, 1, 1, 0.0, "", "m")
    assert " · 1 step · " in result_text(spec, 1, [1], 1.0, "")


def test_a_request_without_visible_words_is_not_repeated() -> None:
    assert request_text("No.", Draft("\u200b\u202e ")) == "No."
    assert request_text("No.", Draft("a cat")) == "No.\n``a cat``"


def test_a_choice_leaves_the_direction_of_the_text_around_it_alone() -> None:
    assert picture_label(2, 7, "a\u202e cat\nat night") == "2 · seed 7 · a cat at night"
