"""What the queue notes about each request, and about each plan without a result. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.stats import UnitRecord
from zimage_engine.types import Event, ImageRequest, Plan, PlanResult, Unit

Published = list[tuple[str, Event]]
"""Request ids and events to deliver to them, in the order in which they happened."""


@dataclass(slots=True)
class RequestState:
    """A request that has not ended. ``seconds`` is its share of the device's time so far.

    ``units_done`` counts the units that succeeded, ``steps_done`` the steps among them.
    ``retried`` is True after it ran out of memory alone, until a unit succeeds. ``losses`` counts the workers that were
    lost during one of its units. ``device`` names the one that has been given the request; None if none has.
    """

    request: ImageRequest
    task: Task
    scope: str
    seconds: float = 0.0
    steps_done: int = 0
    units_done: int = 0
    cancelled: bool = False
    truncated: bool = False
    retried: bool = False
    losses: int = 0
    device: str | None = None

    def unit_done(self, unit: Unit) -> None:
        """Count a unit that succeeded."""
        self.units_done += 1
        self.steps_done += unit is Unit.DENOISE


@dataclass(slots=True)
class Launched:
    """A plan without a result, and its batch: None if it only frees memory.

    ``doomed`` is True if the plan before it has failed, so that the worker skips it.
    """

    plan: Plan
    batch: Batch | None
    doomed: bool = False

    def record(self, result: PlanResult, costs: Mapping[str, CostModel]) -> UnitRecord | None:
        """Return what to tell of the plan's unit on the device with these costs; None if none was done."""
        if self.batch is None or result.skipped:
            return None
        unit, tasks, model = self.batch.unit, self.batch.tasks, self.plan.model
        tokens = sum(task.tokens * task.samples for task in tasks)
        budget = costs[model].budget
        fill = tokens / budget if unit is Unit.DENOISE and budget else None
        return UnitRecord(unit, result.seconds, self.plan.seconds, len(tasks), fill, result.out_of_memory)


def scope_of(owner: Hashable) -> str:
    """Return the owner's scope of embeddings. It does not say who the owner is."""
    return blake2b(repr(owner).encode(), digest_size=8).hexdigest()
