"""The devices of a request queue: what they hold, what they cost, and which of them begin requests."""

from __future__ import annotations

from collections.abc import Mapping

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.device_state import DeviceState
from zimage_engine.scheduling.predictions import Predictions, QueueModel
from zimage_engine.scheduling.request_states import RequestState
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.task_costs import TaskCosts


class DeviceTable:
    """The devices that were added to a queue for these models by name; the first is the default."""

    def __init__(self, scheduler: Scheduler, models: Mapping[str, QueueModel]) -> None:
        self._scheduler = scheduler
        self.predictions = Predictions(models)
        self._states: dict[str, RequestState] = {}
        self._costs = TaskCosts(scheduler, self.predictions, self._states)
        self._devices: dict[str, DeviceState] = {}

    def add_device(
        self,
        device: str,
        costs: Mapping[str, CostModel],
        models: frozenset[str],
        allowed: frozenset[str],
        load_seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Add a device that is ready. It holds ``models`` and may be told to load another one of ``allowed``.

        ``costs`` and ``load_seconds`` are, by model, what its units and loading it are expected to take. The cost of
        the default model's ``base`` request is the scheduler's burst.
        """
        assert models <= allowed <= costs.keys()
        on = self._devices[device] = DeviceState(self._scheduler.add_device(device, costs, models))
        on.device.allowed, on.device.load_seconds = allowed, load_seconds or {}
        self._costs.use_reference(self.predictions.add_device(device, costs))

    def use_costs(self, device: str, costs: Mapping[str, CostModel], load_seconds: Mapping[str, float]) -> None:
        """Replace what a device's units and loading are expected to take, after a model was loaded and measured."""
        on = self._devices[device]
        on.use_costs(costs)
        on.device.load_seconds = load_seconds
        self._costs.use_reference(self.predictions.add_device(device, costs))

    def models_on(self, device: str) -> frozenset[str]:
        """Return the models that the device holds; none if it is unknown."""
        return self._devices[device].device.models if device in self._devices else frozenset()

    def drain_device(self, device: str) -> None:
        """Have a device begin no request any more; those that it has begun are finished. Ignores unknown devices."""
        if device in self._devices:
            self._devices[device].device.drain()

    def is_drained(self, device: str) -> bool:
        """Return True if the device has nothing to finish, or is unknown."""
        on = self._devices.get(device)
        return on is None or not (on.launched or on.device.pinned.tasks)

    def running_on(self, device: str) -> int:
        """Return the number of requests that the device has begun; 0 if it is unknown."""
        if (on := self._devices.get(device)) is None:
            return 0
        # Not all requests: there may be thousands, and whoever asks holds the engine's lock for each of 64 devices.
        names = {*on.device.pinned.tasks, *(name for launched in on.launched for name in launched.plan.ids)}
        return sum(name in self._states and self._states[name].device == device for name in names)
