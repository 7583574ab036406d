"""Other people's words in our messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.requests.spec import ImageSpec
from bot.views.text import MESSAGE_LIMIT, duration, inert, result_text

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
