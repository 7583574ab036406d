"""Keeps what the tasks in a queue are predicted to take up to date. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zimage_engine.scheduling.predictions import Predictions
from zimage_engine.scheduling.request_states import RequestState
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Batch, Task, rounded
from zimage_engine.types import Unit


class TaskCosts:
    """Applies predictions to the scheduler's tasks of these requests, which stand by id in ``states``."""

    def __init__(self, scheduler: Scheduler, predictions: Predictions, states: Mapping[str, RequestState]) -> None:
        self._scheduler = scheduler
        self._predictions = predictions
        self._states = states

    def use_reference(self, factor: float | None) -> None:
        """Predict again after a device came or went.

        None if the costs of the reference device are what they were. Else one of its seconds so far counts as
        ``factor`` from now on.
        """
        for name, device in self._scheduler.devices.items():
            device.pace = self._predictions.pace(name)
        if factor is None:
            return
        if (burst := self._predictions.burst()) is not None:
            self._scheduler.burst = burst
        self._scheduler.recount(factor, self._costs_of)

    def update_texts(self, names: Iterable[str]) -> None:
        """Predict again what the texts of these requests take, of those that no device has begun."""
        for name in names:
            state = self._states[name]
            if state.device is not None:
                continue
            seconds = self._predictions.unit_seconds(state.request)[Unit.ENCODE_TEXT]
            if rounded(seconds) != state.task.costs[Unit.ENCODE_TEXT]:
                self._scheduler.set_costs(state.task, {**state.task.costs, Unit.ENCODE_TEXT: seconds})

    def fit_device(self, device: str, state: RequestState) -> None:
        """Predict again what a request takes whose texts other devices have encoded, before this one begins it."""
        if state.device is None and self._predictions.has_other_texts(device, state.request):
            self._scheduler.set_costs(state.task, self._predictions.unit_seconds_for(device, state.request))

    def seconds(self, device: str, batch: Batch) -> float:
        """Return the seconds that the batch's unit takes on a device by its present costs."""
        if batch.unit in {Unit.DENOISE, Unit.LOAD_MODEL}:
            return self._scheduler.seconds(device, batch)
        requests = [self._states[task.id].request for task in batch.tasks]
        return sum(self._predictions.unit_seconds_on(device, request)[batch.unit] for request in requests)

    def _costs_of(self, task: Task) -> Mapping[Unit, float]:
        return self._predictions.unit_seconds(self._states[task.id].request)
