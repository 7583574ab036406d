"""The state of every request of one device: turns requests into plans and results into events.

The scheduler decides the order. Pure Python without threads or torch; the engine calls it locked.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.estimates import step_samples, step_tokens, unit_seconds, units_of
from zimage_engine.scheduling.scheduler import Batch, Scheduler, Task
from zimage_engine.scheduling.tokens import padded
from zimage_engine.types import (
    Cancelled,
    EngineError,
    Event,
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

Published = list[tuple[str, Event]]
"""Request ids and events to deliver to them, in the order in which they happened."""

_FORECAST_INTERVAL = 1.0
_CACHE_HIT_SHARE = 0.1
"""A text unit that takes less than this share of its predicted seconds was answered by the cache of embeddings."""


@dataclass(slots=True)
class RequestState:
    """A request that has not ended. ``seconds`` is its share of the device's time so far.

    ``retried`` is True after it ran out of memory alone, until a unit succeeds. ``losses`` counts the workers that were
    lost during one of its units. ``on_worker`` is True if the worker may hold tensors of it.
    """

    request: ImageRequest
    task: Task
    seconds: float = 0.0
    steps_done: int = 0
    cancelled: bool = False
    truncated: bool = False
    retried: bool = False
    losses: int = 0
    on_worker: bool = False


class RequestQueue:
    """The requests of one device. ``pixels_per_token`` is the area of one image token in pixels.

    ``waiting`` counts the requests none of whose units is done, ``running`` the others.
    """

    def __init__(self, scheduler: Scheduler, pixels_per_token: int) -> None:
        self._scheduler = scheduler
        self._pixels_per_token = pixels_per_token
        self._states: dict[str, RequestState] = {}
        self._batch: Batch | None = None
        self._plan: Plan | None = None
        self._release: list[str] = []
        self._forecast_at = float("-inf")
        self.busy_seconds = 0.0
        self.finished = 0
        self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not state.task.started for state in self._states.values())

    @property
    def running(self) -> int:
        return len(self._states) - self.waiting

    def use_costs(self, costs: CostModel, base: ImageRequest) -> None:
        """Predict with these costs from now on. The scheduler's burst becomes the cost of the request ``base``."""
        self._scheduler.costs = costs
        self._scheduler.burst = self.seconds_alone(base)
        for state in self._states.values():
            if not state.task.started:
                state.task.costs = self._unit_seconds(state.request)
                self._scheduler.restart(state.task)

    def seconds_alone(self, request: ImageRequest) -> float:
        """Return the predicted seconds of a request on an idle device."""
        costs = self._unit_seconds(request)
        return sum(costs[unit] for unit in units_of(request))

    def submit(self, request: ImageRequest, owner: Hashable, weight: float = 1.0) -> Published:
        """Add a request. Raises :class:`ValueError` if the queue has one with its id."""
        if request.id in self._states:
            raise ValueError(f"The request {request.id} is already in the queue.")
        task = self._task(request, owner, weight)
        self._scheduler.add(task)
        self._states[request.id] = RequestState(request, task)
        position = self._scheduler.position(task)
        return [(request.id, Queued(position, None if position else task.remaining))]

    def cancel(self, request_id: str) -> Published:
        """End a request: now, or at the end of its unit if one is running. Ignores unknown ids."""
        state = self._states.get(request_id)
        if state is None:
            return []
        state.cancelled = True
        return [] if self._is_on_device(request_id) else self._end_cancelled(state)

    def next(self) -> Plan | None:
        """Return the unit to run now, or None if there are no requests. Each plan must be given to :meth:`done`."""
        assert self._plan is None, "the last plan is not done"
        self._batch = self._scheduler.next()
        if self._batch is None:
            return None
        states = [self._states[task.id] for task in self._batch.tasks]
        for state in states:
            state.on_worker = True
        self._plan = Plan(self._batch.unit, tuple(state.request for state in states), tuple(self._release))
        self._release.clear()
        return self._plan

    def done(self, plan: Plan, result: PlanResult) -> Published:
        """Record the result of a plan and return the events that follow from it."""
        batch = self._batch
        assert batch is not None
        assert plan is self._plan
        self._batch = self._plan = None
        self.busy_seconds += result.seconds
        if result.out_of_memory and (cancelled := self._retry_smaller(batch)) is not None:
            return cancelled
        if not result.failures:
            self._learn(batch, result.seconds)
        total = sum(task.costs[batch.unit] for task in batch.tasks)
        for task in batch.tasks:
            self._states[task.id].seconds += result.seconds * task.costs[batch.unit] / total
        self._scheduler.served(batch)
        return [event for task in batch.tasks for event in self._record(self._states[task.id], batch.unit, result)]

    def is_running(self, plan: Plan) -> bool:
        """Return False if :meth:`drop_all` or :meth:`restart` has abandoned the plan."""
        return plan is self._plan

    def restart(self) -> Published:
        """Set all started requests back to their first unit, after the worker was lost with their tensors.

        The seconds that they took stay charged. A request fails if its unit was running for the second time when a
        worker was lost, since it may be the cause.
        """
        suspects = {task.id for task in self._batch.tasks} if self._batch is not None else set()
        self._batch = self._plan = None
        events: Published = []
        for state in list(self._states.values()):
            if state.request.id in suspects:
                state.losses += 1
            if state.cancelled:
                events += self._end_cancelled(state)
            elif state.losses > 1:
                events += self._fail(state, UnitFailed("The model failed on this picture twice; try another prompt."))
            elif state.task.started:
                state.steps_done, state.on_worker = 0, False
                self._scheduler.restart(state.task)
        self._release.clear()
        return events

    def drop_all(self, error: EngineError) -> Published:
        """End every request with ``error``: the engine is closing, or its device is lost."""
        self._batch = self._plan = None
        ended = [event for state in list(self._states.values()) for event in self._fail(state, error)]
        self._release.clear()
        return ended

    def forecast_due(self, now: float) -> Scheduler | None:
        """Return a copy of the scheduler to run forward; None within a second of the last one or if none waits."""
        if now - self._forecast_at < _FORECAST_INTERVAL or not self.waiting:
            return None
        self._forecast_at = now
        return self._scheduler.copy()

    def expected(self, ends: Mapping[str, float]) -> Published:
        """Return a :class:`Queued` event for each waiting request, from the forecast's seconds to its end."""
        events: Published = []
        tasks = sorted(self._scheduler.in_order(), key=lambda task: ends.get(task.id, math.inf))
        for position, task in enumerate(tasks):
            if not task.started and not self._is_on_device(task.id):
                events.append((task.id, Queued(position, ends.get(task.id))))
        return events

    def _task(self, request: ImageRequest, owner: Hashable, weight: float) -> Task:
        tokens, samples = step_tokens(request, self._pixels_per_token), step_samples(request)
        return Task(
            id=request.id,
            owner=owner,
            weight=weight,
            units=units_of(request),
            costs=self._unit_seconds(request),
            shape=(tokens, samples),
            tokens=tokens,
            samples=samples,
        )

    def _unit_seconds(self, request: ImageRequest) -> dict[Unit, float]:
        return unit_seconds(request, self._scheduler.costs, self._pixels_per_token)

    def _learn(self, batch: Batch, seconds: float) -> None:
        """Correct the costs by the seconds of a unit, unless a text came from the cache."""
        if batch.unit is Unit.DENOISE:
            predicted = self._scheduler.seconds(batch)
        else:
            predicted = sum(self._unit_seconds(self._states[task.id].request)[batch.unit] for task in batch.tasks)
        if batch.unit is not Unit.ENCODE_TEXT or seconds > _CACHE_HIT_SHARE * predicted:
            self._scheduler.costs.observe(batch.unit, predicted, seconds)

    def _record(self, state: RequestState, unit: Unit, result: PlanResult) -> Published:
        """Apply a unit's result to one request; returns its event."""
        name = state.request.id
        state.retried = False
        if name in result.failures and not state.cancelled:
            return self._fail(state, result.failures[name])
        if name in result.images:
            del self._states[name]
            self.finished += 1
            return [(name, Finished(result.images[name], state.seconds, state.truncated))]
        if name in result.caption_tokens:
            self._set_key(state, [padded(tokens) for tokens in result.caption_tokens[name]])
        state.truncated = state.truncated or name in result.truncated
        if unit is Unit.DENOISE and name not in result.failures:
            state.steps_done += 1
        if state.cancelled:
            return self._end_cancelled(state)
        return [(name, Step(state.steps_done, state.request.real_steps, result.previews.get(name)))]

    def _retry_smaller(self, batch: Batch) -> Published | None:
        """Halve the batches, or retry a single request once, after the device ran out of memory.

        The unit changed nothing on the device, so it can be planned again. Returns the events of requests that were
        cancelled meanwhile; None if the unit has failed for good.
        """
        leader = batch.tasks[0]
        state = self._states[leader.id]
        if len(batch.tasks) == 1 and state.retried:
            return None
        state.retried = len(batch.tasks) == 1
        costs = self._scheduler.costs
        if batch.ahead_for is not None:
            batch.ahead_for.encode_ahead = 0.0  # encode each request when it leads
        elif len(batch.tasks) > 1:
            costs.budget = min(costs.budget, len(batch.tasks) * leader.tokens * leader.samples // 2)
        cancelled = [self._states[task.id] for task in batch.tasks if self._states[task.id].cancelled]
        return [event for each in cancelled for event in self._end_cancelled(each)]

    def _set_key(self, state: RequestState, captions: list[int]) -> None:
        """Tell the scheduler the captions' padded lengths, which decide who shares steps and what they cost."""
        task = state.task
        tokens = step_tokens(state.request, self._pixels_per_token, max(captions))
        self._scheduler.set_key(task, (task.shape, *captions), tokens, self._scheduler.costs.step(tokens, task.samples))

    def _fail(self, state: RequestState, error: EngineError) -> Published:
        self.failed += 1
        self._forget(state)
        return [(state.request.id, Failed(error, state.seconds))]

    def _end_cancelled(self, state: RequestState) -> Published:
        self._forget(state)
        return [(state.request.id, Cancelled(state.steps_done, state.seconds))]

    def _forget(self, state: RequestState) -> None:
        del self._states[state.request.id]
        if state.request.id in self._scheduler.tasks:
            self._scheduler.remove(state.request.id)
        if state.on_worker:
            self._release.append(state.request.id)

    def _is_on_device(self, request_id: str) -> bool:
        return self._batch is not None and any(task.id == request_id for task in self._batch.tasks)
