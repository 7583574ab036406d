"""The state of every request: turns requests into plans for a device and results into events.

The scheduler decides the order. Pure Python without threads or torch; the engine calls it locked.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from dataclasses import replace

from zimage_engine.scheduling.device_state import DeviceState
from zimage_engine.scheduling.device_table import DeviceTable
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.request_states import Published, RequestState, scope_of
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.snapshot import Snapshot
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.stats import UnitRecord
from zimage_engine.types import (
    Cancelled,
    EngineError,
    Failed,
    Finished,
    ImageRequest,
    Plan,
    PlanResult,
    Queued,
    Step,
    Unit,
    UnitFailed,
)

_LOST_TWICE = "The model failed on this picture twice; try another prompt."
_LOST_LOADING = "The model could not be loaded, twice; choose another one, or try again later."


class RequestQueue(DeviceTable):
    """The requests for the devices that were added, and for these models by name; the first is the default.

    ``waiting`` counts the requests of which no unit was launched, ``running`` the others.
    """

    def __init__(self, scheduler: Scheduler, models: Mapping[str, QueueModel]) -> None:
        super().__init__(scheduler, models)
        self.busy_seconds = 0.0
        self.record: UnitRecord | None = None  # of the newest plan that was done
        self.finished = self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not state.task.started for state in self._states.values())

    @property
    def running(self) -> int:
        return len(self._states) - self.waiting

    def submit(
        self, request: ImageRequest, owner: Hashable, weight: float = 1, group: Hashable = None, group_weight: float = 1
    ) -> Published:
        """Add a request. Raises :class:`ValueError` if the queue has one with its id."""
        if request.id in self._states:
            raise ValueError(f"The request {request.id} is already in the queue.")
        scope = scope_of(owner)
        self.predictions.add(request, scope)
        task = self.predictions.new_task(request, owner, weight, group, group_weight)
        self._scheduler.add(task)
        self._states[request.id] = RequestState(request, task, scope)
        position = self._scheduler.position(task)
        return [(request.id, Queued(position, None if position else task.remaining))]

    def cancel(self, request_id: str) -> Published:
        """End a request: now, or at the end of its unit if one is running. Ignores unknown ids."""
        if (state := self._states.get(request_id)) is None:
            return []
        state.cancelled = True
        return [] if self._is_launched(state) else self._end_cancelled(state)

    def forget(self, owner: Hashable) -> None:
        """Have the worker forget the embeddings of the owner's prompts."""
        for device in self._devices.values():
            device.forget[scope_of(owner)] = None
        self._costs.update_texts(self.predictions.texts_forgotten(scope_of(owner)))

    def next(self, device: str) -> Plan | None:
        """Return the plan that the device is to begin, or None if there is nothing to do.

        Each plan must be given to :meth:`done`.
        """
        on = self._devices[device]
        assert not on.launched, "the last plan is not done"
        batch = self._scheduler.next(device)
        on.device.idle = batch is None
        return self._launch(on, batch) if batch is not None or on.release or on.forget else None

    def next_ahead(self, device: str, longest: float) -> Plan | None:
        """Return the plan to launch before the device's running one has ended; None if it needs that one's result.

        None, too, if it is predicted to take more than ``longest`` seconds: whoever cancels or comes waits for it.
        """
        on = self._devices.get(device)
        if on is None or len(on.launched) != 1 or (batch := self._scheduler.next(device)) is None:
            return None
        running = on.launched[0]
        if running.batch is None or running.doomed or self._costs.seconds(device, batch) > longest:
            return None
        if Unit.LOAD_MODEL in {running.batch.unit, batch.unit}:
            return None
        names = {*running.plan.ids, *(task.id for task in batch.tasks)}
        states = [self._states[name] for name in names if name in self._states]
        # Plans of a request that may have cost a worker do not overlap: the next loss then says whose fault it is.
        waits = any(state.cancelled or state.losses for state in states)
        return None if waits else self._launch(on, batch, ahead=True)

    def done(self, device: str, plan: Plan, result: PlanResult) -> Published:
        """Record the result of the device's plan that was launched first; returns the events that follow from it."""
        on = self._devices[device]
        assert on.is_running(plan)
        launched = on.launched.popleft()
        self.record, batch = launched.record(result, on.device.costs), launched.batch
        self.busy_seconds += result.seconds
        on.busy_seconds += result.seconds
        if batch is None:
            return []
        if batch.unit is Unit.LOAD_MODEL:
            return self._loaded(on, batch.tasks[0], result)
        # A request of a plan that was launched ahead may have ended meanwhile.
        batch = replace(batch, tasks=tuple(filter(self._is_current, batch.tasks)))
        if result.skipped:
            return self._take_back(on, batch)
        if result.failures and on.launched:
            on.launched[0].doomed = True
        if result.out_of_memory:
            self._costs.update_texts(self.predictions.texts_dropped(device))  # the worker has freed its caches
            if (cancelled := self._retry_smaller(on, batch)) is not None:
                return cancelled
        if not result.failures:
            on.budgets[plan.model].ran(result.seconds)
            self.predictions.learn(device, plan.model, batch.unit, plan.seconds, result)
        total = sum(task.costs[batch.unit] for task in batch.tasks)
        events: Published = []
        for task in batch.tasks:
            self._states[task.id].seconds += result.seconds * task.costs[batch.unit] / total
            events += self._record(device, self._states[task.id], batch.unit, result)
        return events

    def is_running(self, device: str, plan: Plan) -> bool:
        """Return False if :meth:`drop_all` or :meth:`remove_device` has abandoned the plan."""
        return device in self._devices and self._devices[device].is_running(plan)

    def remove_device(self, device: str) -> Published:
        """Set the device's requests back to their first unit, since it was lost; what they took stays charged.

        A request fails if a device was lost in one of its units for the second time. Ignores unknown devices.
        """
        if (lost := self._devices.pop(device, None)) is None:
            return []
        suspects, events = {name for launched in lost.launched for name in launched.plan.ids}, Published()
        loading = any(launched.plan.unit is Unit.LOAD_MODEL for launched in lost.launched)
        concerned = [
            each
            for name, each in self._states.items()
            if each.device == device or (each.device is None and name in suspects)  # its model was being loaded
        ]
        for state in concerned:
            state.device = None
            if state.request.id in suspects:
                state.losses += 1
            if state.cancelled:
                events += self._end_cancelled(state)
            elif state.losses > 1:
                events += self._fail(state, UnitFailed(_LOST_LOADING if loading else _LOST_TWICE))
            else:
                state.steps_done = state.units_done = 0
                if state.losses:  # it shares no unit from now on
                    state.task.shape = (state.task.shape, state.request.id)
                self._scheduler.restart(state.task)
        self._scheduler.remove_device(device)
        self._costs.update_texts(self.predictions.texts_dropped(device))
        self._costs.use_reference(self.predictions.remove_device(device))
        return events

    def drop_all(self, error: EngineError) -> Published:
        """End every request with ``error``: the engine is closing, or its device is lost."""
        ended = [event for state in list(self._states.values()) for event in self._fail(state, error)]
        for device in self._devices.values():
            device.clear()
        return ended

    def drop_models(self, models: Container[str], error: EngineError) -> Published:
        """End every request of these models with ``error``: no device can serve them any more."""
        concerned = [state for state in self._states.values() if state.task.model in models]
        return [event for state in concerned for event in self._fail(state, error)]

    def snapshot(self, count: int) -> Snapshot | None:
        """Return the order of now, with ``count`` tasks to run the rule forward on; None if no request waits."""
        return Snapshot.of(self._scheduler, count) if self.waiting else None

    def is_waiting(self, request_id: str) -> bool:
        """Return True if no unit of the request was launched."""
        return request_id in self._states and not self._states[request_id].task.started

    def _launch(self, on: DeviceState, batch: Batch | None, *, ahead: bool = False) -> Plan:
        if batch is None:
            return on.launch(None, (), 0.0)
        states = [self._states[task.id] for task in batch.tasks]
        for state in states:
            self._costs.fit_device(on.name, state)
        plan = on.launch(batch, states, self._costs.seconds(on.name, batch), ahead=ahead)
        self._scheduler.served(on.name, batch)
        return plan

    def _loaded(self, on: DeviceState, task: Task, result: PlanResult) -> Published:
        """Record what a device holds after loading; returns the end of the request for which that failed."""
        self._scheduler.loaded(on.name, on.device.models if result.models is None else result.models)
        if not self._is_current(task) or self._states[task.id].device not in {None, on.name}:
            return []
        error = result.failures.get(task.id)
        if error is None and task.model not in on.device.models:
            error = UnitFailed("The model could not be loaded; please try again.")
        return [] if error is None else self._fail(self._states[task.id], error)

    def _record(self, device: str, state: RequestState, unit: Unit, result: PlanResult) -> Published:
        """Apply a unit's result to one request; returns its event."""
        name = state.request.id
        state.retried = False
        if name in result.failures and not state.cancelled:
            return self._fail(state, result.failures[name])
        if name in result.images:
            del self._states[name]
            self.predictions.remove(name)
            self.finished += 1
            return [(name, Finished(result.images[name], state.seconds, state.truncated))]
        if name in result.caption_tokens:
            self._costs.update_texts(self.predictions.text_encoded(name, device))
            task, captions = state.task, result.caption_tokens[name]
            self._scheduler.set_key(task, *self.predictions.key(task, state.request, captions))
        state.truncated = state.truncated or name in result.truncated
        if name not in result.failures:
            state.unit_done(unit)
        if state.cancelled:
            return self._end_cancelled(state)
        if state.task.done == len(state.task.units) and not self._is_launched(state):
            return self._fail(state, UnitFailed("The model returned no picture; please try again."))
        return [(name, Step(state.steps_done, state.request.real_steps, result.previews.get(name)))]

    def _retry_smaller(self, on: DeviceState, batch: Batch) -> Published | None:
        """Halve the batches, or retry a single request once, after the device ran out of memory in a unit.

        Returns the ends of requests that were cancelled meanwhile; None if the unit has failed for good.
        """
        if not batch.tasks:
            return []
        leader = batch.tasks[0]
        state = self._states[leader.id]
        if len(batch.tasks) == 1 and state.retried:
            return None
        state.retried = len(batch.tasks) == 1
        if batch.ahead_for is not None:
            batch.ahead_for.encodes_ahead = False  # encode each request when it leads
        elif len(batch.tasks) > 1:
            on.budgets[leader.model].halve(len(batch.tasks) * leader.tokens * leader.samples)
        return self._take_back(on, batch)

    def _take_back(self, on: DeviceState, batch: Batch) -> Published:
        """Plan a batch that was launched, but changed nothing, again. Returns the ends of the cancelled requests."""
        self._scheduler.undo(on.name, batch)
        cancelled = [state for task in batch.tasks if (state := self._states[task.id]).cancelled]
        return [event for state in cancelled for event in self._end_cancelled(state)]

    def _fail(self, state: RequestState, error: EngineError) -> Published:
        self.failed += 1
        self._forget(state)
        return [(state.request.id, Failed(error, state.seconds))]

    def _end_cancelled(self, state: RequestState) -> Published:
        self._forget(state)
        return [(state.request.id, Cancelled(state.steps_done, state.seconds, state.units_done))]

    def _forget(self, state: RequestState) -> None:
        del self._states[state.request.id]
        self.predictions.remove(state.request.id)
        if state.request.id in self._scheduler.tasks:
            self._scheduler.remove(state.request.id)
        if state.device is not None:
            self._devices[state.device].release.append(state.request.id)

    def _is_launched(self, state: RequestState) -> bool:
        return state.device is not None and self._devices[state.device].has(state.request.id)

    def _is_current(self, task: Task) -> bool:
        return (state := self._states.get(task.id)) is not None and state.task is task
