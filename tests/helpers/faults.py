"""Devices that fail or are slow."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from zimage_engine.executor import Executor
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import EngineError, Plan, PlanResult, Unit


@dataclass
class Faulty:
    """Passes plans to the real worker, except units of one kind: those fail with ``error`` or wait for ``gate``.

    ``entered`` is set when such a unit begins.
    """

    inner: Executor
    unit: Unit
    error: Exception | None = None
    gate: threading.Event | None = None
    entered: threading.Event | None = None

    @property
    def device(self) -> str:
        return self.inner.device

    @property
    def costs(self) -> CostModel:
        return self.inner.costs

    def execute(self, plan: Plan) -> PlanResult:
        if plan.unit is self.unit:
            if self.entered is not None:
                self.entered.set()
            if self.gate is not None:
                self.gate.wait(30)
            if isinstance(self.error, EngineError):
                failures = {request.id: self.error for request in plan.requests}
                return PlanResult(0.0, failures=failures)
        return self.inner.execute(plan)
