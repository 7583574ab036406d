"""What the queue notes about a device: its plans without a result, and what to tell it with the next one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from zimage_engine.scheduling.batch_budget import BatchBudget
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.devices import Device
from zimage_engine.scheduling.request_states import Launched, RequestState
from zimage_engine.scheduling.tasks import Batch
from zimage_engine.types import NewRequest, Plan, Unit


class DeviceState:
    """A device that is ready. ``launched`` holds its plans in order, ``busy_seconds`` is how long it has worked.

    ``release`` names the requests that it holds but that have ended, ``forget`` the scopes (in order, each once) whose
    embeddings it is to forget. ``budgets`` are those of its models.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.name = device.name
        self.launched: deque[Launched] = deque()
        self.release: list[str] = []
        self.forget: dict[str, None] = {}
        self.busy_seconds = 0.0
        self.budgets: dict[str, BatchBudget] = {}
        self.use_costs(device.costs)

    def use_costs(self, costs: Mapping[str, CostModel]) -> None:
        """Replace the costs. Models whose costs are new may use their full budgets."""
        before, self.device.costs = self.device.costs, costs
        for model, each in costs.items():
            if model not in self.budgets or before.get(model) is not each:
                self.budgets[model] = BatchBudget(each)

    def launch(
        self, batch: Batch | None, states: Sequence[RequestState], seconds: float, *, ahead: bool = False
    ) -> Plan:
        """Return the plan for a batch of these requests; without one it only frees memory."""
        begun = () if batch is not None and batch.unit is Unit.LOAD_MODEL else states
        plan = Plan(
            None if batch is None else batch.unit,
            tuple(state.request.id for state in states),
            tuple(NewRequest(state.request, state.scope) for state in begun if state.device is None),
            tuple(self.release),
            tuple(self.forget),
            seconds=seconds,
            ahead=ahead,
            model="" if batch is None else batch.tasks[0].model,
        )
        self.release, self.forget = [], {}
        for state in begun:
            state.device = self.name
        self.launched.append(Launched(plan, batch))
        return plan

    def is_running(self, plan: Plan) -> bool:
        """Return True if the plan is the one that was launched first."""
        return bool(self.launched) and plan is self.launched[0].plan

    def has(self, request_id: str) -> bool:
        """Return True if the request is in a plan without a result."""
        return any(request_id in launched.plan.ids for launched in self.launched)

    def clear(self) -> None:
        """Abandon the plans without a result; there is nothing to tell the device any more."""
        self.launched.clear()
        self.release, self.forget = [], {}
