"""Devices that fail or are slow."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from zimage_engine.executor import Finish, UnitWorker
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import EngineError, Plan, PlanResult, Unit


class Immediate:
    """A worker whose units are done when they begin: by :meth:`execute`, which tests replace."""

    device = "test"
    ahead_seconds = 0.0
    models = frozenset({"demo"})
    load_seconds: Mapping[str, float] = {"demo": 0.0}

    def __init__(self, inner: UnitWorker | None = None) -> None:
        self.costs: Mapping[str, CostModel] = {"demo": CostModel()}
        if inner is not None:
            self.costs, self.models, self.load_seconds = inner.costs, inner.models, inner.load_seconds
        self.inner = inner

    def begin(self, plan: Plan) -> Finish:
        result = self.execute(plan)
        return lambda: result

    def execute(self, plan: Plan) -> PlanResult:
        """Return the result of a plan; here, that of the inner worker."""
        assert self.inner is not None
        return self.inner.begin(plan)()


class Faulty(Immediate):
    """Passes plans to the real worker, except units of one kind: those fail with ``error`` or wait for ``gate``.

    ``entered`` is set when such a unit begins.
    """

    def __init__(
        self,
        inner: UnitWorker,
        unit: Unit,
        error: Exception | None = None,
        gate: threading.Event | None = None,
        entered: threading.Event | None = None,
    ) -> None:
        super().__init__(inner)
        self.device = inner.device
        self._unit, self._error, self._gate, self._entered = unit, error, gate, entered

    def execute(self, plan: Plan) -> PlanResult:
        if plan.unit is self._unit:
            if self._entered is not None:
                self._entered.set()
            if self._gate is not None:
                self._gate.wait(120)
            if isinstance(self._error, EngineError):
                return PlanResult(0.0, failures=dict.fromkeys(plan.ids, self._error))
        return super().execute(plan)
