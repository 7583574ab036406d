"""A worker without a thread: executes the plans that a request queue has for a device, and checks them."""

from __future__ import annotations

import math
from collections import deque

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published
from zimage_engine.types import EngineError, ImageRequest, OutOfMemory, Plan, PlanResult, RawImage, Unit, UnitFailed

IMAGE = RawImage(1, 1, b"\0\0\0")


def ask(name: str, steps: int = 2, side: int = 256, model: str = "") -> ImageRequest:
    return ImageRequest(name, "p", side, side, steps, 0, model=model)


def answer(plan: Plan, **changes: object) -> PlanResult:
    names = list(plan.ids)
    images = dict.fromkeys(names, IMAGE) if plan.unit is Unit.DECODE else {}
    texts = dict.fromkeys(names, (20,)) if plan.unit is Unit.ENCODE_TEXT else {}
    return PlanResult(1.0, images=images, caption_tokens=texts, **changes)  # type: ignore[arg-type]


def exhausted(plan: Plan) -> PlanResult:
    failures: dict[str, EngineError] = {name: OutOfMemory("too large") for name in plan.ids}
    return PlanResult(1.0, failures=failures, out_of_memory=True)


def must(plan: Plan | None) -> Plan:
    assert plan is not None
    return plan


class PipelinedWorker:
    """Executes a device's plans in order, up to two launched at a time, and holds what a real worker would hold.

    It has room for one of ``models``, of which it loads the first. ``ended`` holds the requests that have ended;
    whoever drives several workers shares it among them. ``loads`` counts the models that were loaded after the first.
    """

    def __init__(
        self,
        queue: RequestQueue,
        device: str,
        costs: CostModel,
        ended: set[str] | None = None,
        models: tuple[str, ...] = ("model",),
        load_seconds: float = 5.0,
    ) -> None:
        self.queue = queue
        self.device = device
        self.costs = costs
        self.ended = set() if ended is None else ended
        self.models = models
        self.load_seconds = dict.fromkeys(models, load_seconds)
        self.loads = 0
        self.plans: deque[Plan] = deque()
        self.held: set[str] = set()
        self.failed = False
        self.add()

    def add(self) -> None:
        """Be ready for plans."""
        self.model = self.models[0]
        costs = dict.fromkeys(self.models, self.costs)
        self.queue.add_device(self.device, costs, frozenset({self.model}), frozenset(self.models), self.load_seconds)

    def launch(self, *, ahead: bool) -> bool:
        """Launch the next plan, if there is one."""
        if not ahead and self.plans:
            return False
        ahead = ahead and bool(self.plans)
        plan = self.queue.next_ahead(self.device, math.inf) if ahead else self.queue.next(self.device)
        if plan is not None:
            self.plans.append(plan)
        return plan is not None

    def lose(self) -> Published:
        """Lose what is held and launched, and load the worker again."""
        self.plans.clear()
        self.held.clear()
        self.failed = False
        events = self.queue.remove_device(self.device)
        self.add()
        return events

    def finish(self, kind: str) -> Published:
        """Do the plan that was launched first; it ends as ``kind`` says."""
        plan = self.plans.popleft()
        self.held -= set(plan.release)
        self.held |= {new.request.id for new in plan.new}
        if kind == "lose":
            return self.lose()
        if plan.unit is Unit.LOAD_MODEL:
            return self._load(plan, fails=kind in {"fail", "memory"})
        assert set(plan.ids) <= self.held | self.ended
        assert plan.model in {"", self.model}
        if plan.ahead and self.failed:
            return self.queue.done(self.device, plan, PlanResult(0.0, skipped=True))
        self.failed = False
        if plan.unit is None:
            return self.queue.done(self.device, plan, PlanResult(0.0))
        held = [name for name in plan.ids if name in self.held]
        if kind == "memory" and held:
            self.failed = True
            return self.queue.done(self.device, plan, exhausted(plan))
        failures: dict[str, EngineError] = {held[0]: UnitFailed("x")} if kind == "fail" and held else {}
        self.failed = bool(failures)
        self.held -= set(failures) | (set(held) if plan.unit is Unit.DECODE else set())
        return self.queue.done(self.device, plan, answer(plan, failures=failures))

    def _load(self, plan: Plan, *, fails: bool) -> Published:
        self.loads += 1
        assert not plan.new
        assert not self.held & set(plan.ids)
        assert plan.model != self.model
        if not fails:
            self.model = plan.model
        failures = {name: UnitFailed("x") for name in plan.ids} if fails else {}
        result = PlanResult(plan.seconds, failures=failures, models=frozenset({self.model}))
        return self.queue.done(self.device, plan, result)
