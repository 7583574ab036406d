"""A pause between two uses of something, for each key separately."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

DOUBLE_CLICK_SECONDS = 3.0
"""How long further clicks on the same button have no effect after one that had."""
_HELD_MIN = 1000


def _monotonic() -> float:
    # Looked up at each call: a simulated clock replaces time.monotonic while the program runs.
    return time.monotonic()


class Throttle(Generic[KeyT]):
    """Holds, in memory, until when each key is paused.

    ``seconds`` is the pause if :meth:`start` is not told another. ``clock`` returns seconds and never goes back.
    Ended pauses are dropped: at most ``max(1000, 2 × the most keys that were paused at once)`` keys are held.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = _monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ends: dict[KeyT, float] = {}
        self._held_max = _HELD_MIN

    def __len__(self) -> int:
        return len(self._ends)

    def remaining(self, key: KeyT) -> float:
        """Return the seconds until the key's pause ends; 0 if it has none."""
        return max(0.0, self._ends.get(key, float("-inf")) - self._clock())

    def start(self, key: KeyT, seconds: float | None = None) -> None:
        """Pause the key from now on, whether or not it is paused already."""
        now = self._clock()
        if key not in self._ends and len(self._ends) >= self._held_max:
            self._ends = {each: end for each, end in self._ends.items() if end > now}
            self._held_max = max(_HELD_MIN, 2 * len(self._ends))
        self._ends[key] = now + (self._seconds if seconds is None else seconds)

    def take(self, key: KeyT) -> bool:
        """Start a pause. Returns False, and leaves the pause as it is, if the key is paused."""
        if self.remaining(key) > 0:
            return False
        self.start(key)
        return True

    def clear(self) -> None:
        """End all pauses."""
        self._ends.clear()
