"""The bound at the top of ``scheduler.py``, and what may happen while a task waits."""

from __future__ import annotations

from hypothesis import strategies as st

from zimage_engine.scheduling.shares import CLOCK_RATE, Share

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["member", "fresh", "fresh server", "cancel", "cancel", "serve", "serve", "serve"]),
        st.integers(0, 5),
        st.integers(1, 9),
        st.sampled_from([96, 288]),
    ),
    max_size=40,
)
"""What happens, a number that chooses who does it, the steps of the request, and the tokens of a step."""


class Bound:
    """What may be served to a share and its siblings before the share has been served an amount of work."""

    def __init__(self, share: Share, burst: float) -> None:
        assert share.parent is not None
        self.level = share.parent
        self._burst = burst
        self.share, self.meter, self.virtual = share, share.meter, self.level.virtual
        self.others = [(other.weight, other.meter) for other in self.level.active]
        self.widest, self.lightest = 0.0, share.weight

    def look(self) -> None:
        """Note the weights that wait now."""
        self.widest = max(self.widest, self.level.active_weight)
        self.lightest = min([self.lightest, *(share.weight for share in self.level.active)])

    def work(self, own: float) -> float:
        tag = self.meter + own / self.share.weight
        backlog = sum(weight * max(0.0, tag - meter) for weight, meter in self.others)
        reach = max(0.0, tag + self._burst / self.lightest - self.virtual)
        return backlog + (1 + 1 / CLOCK_RATE) * self.widest * reach
