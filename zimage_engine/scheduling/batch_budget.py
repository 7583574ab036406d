"""The token budget of batches after the device ran out of memory: halved at once, and given back later."""

from __future__ import annotations

from zimage_engine.scheduling.costs import CostModel

_QUIET_SECONDS = 600.0
"""Device seconds without running out of memory after which the budget doubles."""


class BatchBudget:
    """Changes ``costs.budget``, never above the value that it has now."""

    def __init__(self, costs: CostModel) -> None:
        self._costs = costs
        self._full = costs.budget
        self._quiet_seconds = 0.0

    def halve(self, tokens: int) -> None:
        """Limit batches to half of ``tokens``, the size of a batch for which there was too little memory."""
        self._costs.budget = min(self._costs.budget, tokens // 2)
        self._quiet_seconds = 0.0

    def ran(self, seconds: float) -> None:
        """Count the seconds of a unit for which there was enough memory."""
        self._quiet_seconds += seconds
        if self._quiet_seconds >= _QUIET_SECONDS and self._costs.budget < self._full:
            self._costs.budget = min(self._full, 2 * self._costs.budget)
            self._quiet_seconds = 0.0
