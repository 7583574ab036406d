"""A row of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """``goal`` is an upper bound with the sign ``≤`` and a lower one with ``≥``, and so is ``floor``."""

    name: str
    value: float
    unit: str
    goal: float
    floor: float | None = None
    sign: Literal["≤", "≥"] = "≤"

    @property
    def ok(self) -> bool:
        if self.sign == "≤":
            reach = self.goal if self.floor is None else max(self.goal, self.floor * (1 + _NEAR))
            return self.value <= reach
        reach = self.goal if self.floor is None else min(self.goal, self.floor * (1 - _NEAR))
        return self.value >= reach
