"""From requests to units and from results to events: the book of what is asked for. The order is the scheduler's.

Pure Python without threads or torch; the engine calls it under a lock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from zimage_engine.scheduling.costs import CostModel
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
"""Events by request id, in the order in which they happened."""

_TYPICAL_CAPTION = 32
_FORECAST_SECONDS = 1.0
_CACHED = 0.1


def units_of(request: ImageRequest) -> tuple[Unit, ...]:
    """What a request needs, in order."""
    image = (Unit.ENCODE_IMAGE,) if request.image is not None else ()
    return (Unit.ENCODE_TEXT, *image, *(Unit.DENOISE,) * request.real_steps, Unit.DECODE)


@dataclass(slots=True)
class RequestState:
    """One request's life."""

    request: ImageRequest
    task: Task
    seconds: float = 0.0
    steps_done: int = 0
    cancelled: bool = False
    truncated: bool = False
    tried_again: bool = False
    losses: int = 0
    on_worker: bool = False


class RequestQueue:
    """The requests of one device. ``pixels_per_token`` is the picture's area behind one image token."""

    def __init__(self, scheduler: Scheduler, pixels_per_token: int) -> None:
        self._scheduler = scheduler
        self._pixels_per_token = pixels_per_token
        self._entries: dict[str, RequestState] = {}
        self._batch: Batch | None = None
        self._plan: Plan | None = None
        self._release: list[str] = []
        self._forecast_at = float("-inf")
        self.busy_seconds = 0.0
        self.finished = 0
        self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not entry.task.started for entry in self._entries.values())

    @property
    def running(self) -> int:
        return len(self._entries) - self.waiting

    def use_costs(self, costs: CostModel, base: ImageRequest) -> None:
        """From now on predict with these costs; ``base`` is the request whose cost is the unit of fairness."""
        self._scheduler.costs = costs
        self._scheduler.burst = sum(self._costs_of(base)[unit] for unit in units_of(base))
        for entry in self._entries.values():
            if not entry.task.started:
                entry.task.costs = self._costs_of(entry.request)
                self._scheduler.start_again(entry.task)

    def seconds_alone(self, request: ImageRequest) -> float:
        """What a request takes on an idle device, by what was measured so far."""
        costs = self._costs_of(request)
        return sum(costs[unit] for unit in units_of(request))

    def submit(self, request: ImageRequest, owner: Hashable, weight: float = 1.0) -> Published:
        """Take a request in; :class:`ValueError` where its id is already here."""
        if request.id in self._entries:
            raise ValueError(f"The request {request.id} is already in the queue.")
        task = self._task(request, owner, weight)
        self._scheduler.add(task)
        self._entries[request.id] = RequestState(request, task)
        ahead = self._scheduler.ahead_of(task)
        return [(request.id, Queued(ahead, None if ahead else task.remaining))]

    def cancel(self, request_id: str) -> Published:
        """Forget a request: now, or at the end of its unit where one is running. Unknown ids are no error."""
        entry = self._entries.get(request_id)
        if entry is None:
            return []
        entry.cancelled = True
        return [] if self._is_on_device(request_id) else self._end_cancelled(entry)

    def next(self) -> Plan | None:
        """The unit to run now, or None where nothing waits. Each plan is answered by :meth:`done`."""
        assert self._plan is None, "the last plan is not done"
        self._batch = self._scheduler.next()
        if self._batch is None:
            return None
        entries = [self._entries[task.id] for task in self._batch.tasks]
        for entry in entries:
            entry.on_worker = True
        self._plan = Plan(self._batch.unit, tuple(entry.request for entry in entries), tuple(self._release))
        self._release.clear()
        return self._plan

    def done(self, plan: Plan, result: PlanResult) -> Published:
        """Book what a plan brought; the events that follow from it."""
        batch = self._batch
        assert batch is not None
        assert plan is self._plan
        self._batch = self._plan = None
        self.busy_seconds += result.seconds
        if result.out_of_memory and (spared := self._retry_smaller(batch)) is not None:
            return spared
        if not result.failures:
            self._learn(batch, result.seconds)
        alone = sum(task.costs[batch.unit] for task in batch.tasks)
        for task in batch.tasks:
            self._entries[task.id].seconds += result.seconds * task.costs[batch.unit] / alone
        self._scheduler.served(batch)
        return [event for task in batch.tasks for event in self._book(self._entries[task.id], batch.unit, result)]

    def is_running(self, plan: Plan) -> bool:
        """False once :meth:`drop_all` or :meth:`restart` has given the plan up."""
        return plan is self._plan

    def restart(self) -> Published:
        """The worker was lost with all it held: what had begun begins again; what it cost stays charged.

        A request that was on the device for the second time fails: it may be the reason.
        """
        suspects = {task.id for task in self._batch.tasks} if self._batch is not None else set()
        self._batch = self._plan = None
        self._release.clear()
        events: Published = []
        for entry in list(self._entries.values()):
            entry.losses += entry.request.id in suspects
            if entry.cancelled:
                events += self._end_cancelled(entry)
            elif entry.losses > 1:
                events += self._fail(entry, UnitFailed("The model failed on this picture twice; try another prompt."))
            elif entry.task.started:
                entry.steps_done, entry.on_worker = 0, False
                self._scheduler.start_again(entry.task)
        self._release.clear()
        return events

    def drop_all(self, error: EngineError) -> Published:
        """End every request with ``error``: the engine is closing, or its device is lost."""
        self._batch = self._plan = None
        ended = [event for entry in list(self._entries.values()) for event in self._fail(entry, error)]
        self._release.clear()
        return ended

    def forecast_due(self, now: float) -> Scheduler | None:
        """A copy to run forward on; None within a second of the last one, or where nobody waits."""
        if now - self._forecast_at < _FORECAST_SECONDS or not self.waiting:
            return None
        self._forecast_at = now
        return self._scheduler.copy()

    def expected(self, ends: Mapping[str, float]) -> Published:
        """Where each waiting request stands and, as far as the forecast goes, in how many seconds it should be done."""
        events: Published = []
        for position, task in enumerate(
            sorted(self._scheduler.in_order(), key=lambda task: ends.get(task.id, math.inf))
        ):
            if not task.started and not self._is_on_device(task.id):
                events.append((task.id, Queued(position, ends.get(task.id))))
        return events

    def _task(self, request: ImageRequest, owner: Hashable, weight: float) -> Task:
        tokens, samples = self._step_size(request)
        return Task(
            id=request.id,
            owner=owner,
            weight=weight,
            units=units_of(request),
            costs=self._costs_of(request),
            shape=(tokens, samples),
            tokens=tokens,
            samples=samples,
        )

    def _step_size(self, request: ImageRequest) -> tuple[int, int]:
        """Tokens and samples of one step, its caption taken to be a short one."""
        image_tokens = padded(request.width * request.height // self._pixels_per_token)
        return image_tokens + _TYPICAL_CAPTION, 2 if request.guidance_scale > 0 else 1

    def _costs_of(self, request: ImageRequest) -> dict[Unit, float]:
        costs = self._scheduler.costs
        pixels = request.width * request.height
        tokens, samples = self._step_size(request)
        return {
            Unit.ENCODE_TEXT: costs.encode(samples),
            Unit.ENCODE_IMAGE: costs.encode_image(pixels),
            Unit.DENOISE: costs.step(tokens, samples),
            Unit.DECODE: costs.decode(pixels),
        }

    def _learn(self, batch: Batch, seconds: float) -> None:
        """Correct the costs by what the unit took; a text that was in a cache says nothing about the encoder."""
        if batch.unit is Unit.DENOISE:
            predicted = self._scheduler.seconds(batch)
        else:
            predicted = sum(self._costs_of(self._entries[task.id].request)[batch.unit] for task in batch.tasks)
        if batch.unit is not Unit.ENCODE_TEXT or seconds > _CACHED * predicted:
            self._scheduler.costs.observe(batch.unit, predicted, seconds)

    def _book(self, entry: RequestState, unit: Unit, result: PlanResult) -> Published:
        name = entry.request.id
        entry.tried_again = False
        if name in result.failures and not entry.cancelled:
            return self._fail(entry, result.failures[name])
        if name in result.images:
            del self._entries[name]
            self.finished += 1
            return [(name, Finished(result.images[name], entry.seconds, entry.truncated))]
        if name in result.caption_tokens:
            self._settle_key(entry, [padded(tokens) for tokens in result.caption_tokens[name]])
        entry.truncated = entry.truncated or name in result.truncated
        entry.steps_done += unit is Unit.DENOISE and name not in result.failures
        if entry.cancelled:
            return self._end_cancelled(entry)
        return [(name, Step(entry.steps_done, entry.request.real_steps, result.previews.get(name)))]

    def _retry_smaller(self, batch: Batch) -> Published | None:
        """Too little memory: batches of half the size from now on, and a single request once more. None: give it up.

        Nothing was changed on the device, so the same unit can simply be planned again.
        """
        leader = batch.tasks[0]
        entry = self._entries[leader.id]
        if len(batch.tasks) == 1 and entry.tried_again:
            return None
        entry.tried_again = len(batch.tasks) == 1
        costs = self._scheduler.costs
        if batch.ahead is not None:
            batch.ahead.patience = 0.0  # each text when its turn comes
        elif len(batch.tasks) > 1:
            costs.budget = min(costs.budget, len(batch.tasks) * leader.tokens * leader.samples // 2)
        cancelled = [self._entries[task.id] for task in batch.tasks if self._entries[task.id].cancelled]
        return [event for each in cancelled for event in self._end_cancelled(each)]

    def _settle_key(self, entry: RequestState, captions: list[int]) -> None:
        """The captions' padded lengths are known: with whom the request shares steps, and what they really cost."""
        task = entry.task
        expected, _ = self._step_size(entry.request)
        tokens = expected - _TYPICAL_CAPTION + max(captions)
        self._scheduler.settle(task, (task.shape, *captions), tokens, self._scheduler.costs.step(tokens, task.samples))

    def _fail(self, entry: RequestState, error: EngineError) -> Published:
        self.failed += 1
        self._forget(entry)
        return [(entry.request.id, Failed(error, entry.seconds))]

    def _end_cancelled(self, entry: RequestState) -> Published:
        self._forget(entry)
        return [(entry.request.id, Cancelled(entry.steps_done, entry.seconds))]

    def _forget(self, entry: RequestState) -> None:
        del self._entries[entry.request.id]
        if entry.request.id in self._scheduler.tasks:
            self._scheduler.remove(entry.request.id)
        if entry.on_worker:
            self._release.append(entry.request.id)

    def _is_on_device(self, request_id: str) -> bool:
        return self._batch is not None and any(task.id == request_id for task in self._batch.tasks)
