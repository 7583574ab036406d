"""The pauses between two uses of something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.throttle import Throttle

KEYS = st.integers(0, 3)
SECONDS = st.integers(0, 12)


class Clock:
    """Whole seconds, so that sums are exact."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(SECONDS, KEYS, st.sampled_from(["take", "start", "start for 9"]))))
def test_a_key_is_paused_from_its_start_until_its_seconds_are_over(steps: list[tuple[int, int, str]]) -> None:
    clock = Clock()
    throttle: Throttle[int] = Throttle(4, clock=clock)
    ends: dict[int, float] = {}
    for passed, key, action in steps:
        clock.now += passed
        paused = ends.get(key, 0) > clock.now
        assert throttle.remaining(key) == (ends[key] - clock.now if paused else 0)
        if action == "take":
            assert throttle.take(key) is not paused
            ends[key] = ends[key] if paused else clock.now + 4
        elif action == "start":
            throttle.start(key)
            ends[key] = clock.now + 4
        else:
            throttle.start(key, 9)
            ends[key] = clock.now + 9
        assert throttle.remaining(key) == max(0, ends[key] - clock.now)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1500)), min_size=1, max_size=12))
def test_ended_pauses_take_no_memory_for_long(steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    throttle: Throttle[int] = Throttle(2, clock=clock)
    began: list[tuple[float, int]] = []
    count = most = 0
    for passed, new in steps:
        clock.now += passed
        for _ in range(new):
            assert throttle.take(count)
            count += 1
        began = [(at, many) for at, many in [*began, (clock.now, new)] if clock.now - at < 2]
        most = max(most, sum(many for _, many in began))
        assert len(throttle) <= max(1000, 2 * most)
    assert all(throttle.remaining(key) == 2 for key in range(count - steps[-1][1], count))


def test_all_pauses_can_be_ended() -> None:
    throttle: Throttle[str] = Throttle(60)
    assert throttle.take("key")
    assert not throttle.take("key")
    throttle.clear()
    assert throttle.take("key")
