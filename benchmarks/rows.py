"""A row of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_FLOOR_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """A measured value. ``sign`` says if ``goal`` and ``floor`` are upper (``≤``) or lower bounds (``≥``)."""

    name: str
    value: float
    unit: str
    goal: float
    floor: float | None = None
    sign: Literal["≤", "≥"] = "≤"

    @property
    def ok(self) -> bool:
        if self.sign == "≤":
            bound = self.goal if self.floor is None else max(self.goal, self.floor * (1 + _FLOOR_TOLERANCE))
            return self.value <= bound
        bound = self.goal if self.floor is None else min(self.goal, self.floor * (1 - _FLOOR_TOLERANCE))
        return self.value >= bound
