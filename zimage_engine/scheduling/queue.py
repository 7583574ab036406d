"""The state of every request of one device: turns requests into plans and results into events.

The scheduler decides the order. Pure Python without threads or torch; the engine calls it locked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from zimage_engine.scheduling.batch_budget import BatchBudget
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.estimates import (
    caption_tokens,
    step_samples,
    step_tokens,
    texts_of,
    unit_seconds,
    units_of,
)
from zimage_engine.scheduling.known_prompts import TextTracker
from zimage_engine.scheduling.scheduler import Scheduler, Snapshot
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.scheduling.tokens import padded, text_tokens
from zimage_engine.types import (
    Cancelled,
    EngineError,
    Event,
    Failed,
    Finished,
    ImageRequest,
    NewRequest,
    Plan,
    PlanResult,
    Queued,
    Step,
    Unit,
    UnitFailed,
)

Published = list[tuple[str, Event]]
"""Request ids and events to deliver to them, in the order in which they happened."""


@dataclass(slots=True)
class RequestState:
    """A request that has not ended. ``seconds`` is its share of the device's time so far.

    ``retried`` is True after it ran out of memory alone, until a unit succeeds. ``losses`` counts the workers that were
    lost during one of its units. ``on_worker`` is True if the worker has been given the request.
    """

    request: ImageRequest
    task: Task
    scope: str
    seconds: float = 0.0
    steps_done: int = 0
    cancelled: bool = False
    truncated: bool = False
    retried: bool = False
    losses: int = 0
    on_worker: bool = False


@dataclass(slots=True)
class Launched:
    """A plan without a result, and its batch: None if it only frees memory.

    ``doomed`` is True if the plan before it has failed, so that the worker skips it.
    """

    plan: Plan
    batch: Batch | None
    doomed: bool = False


class RequestQueue:
    """The requests of one device. ``pixels_per_token`` is the area of one image token in pixels.

    ``patches`` is as in :func:`zimage_engine.scheduling.estimates.caption_tokens`.

    ``waiting`` counts the requests none of whose units was launched, ``running`` the others.
    """

    def __init__(self, scheduler: Scheduler, pixels_per_token: int, patches: int = 0) -> None:
        self._scheduler = scheduler
        self._budget = BatchBudget(scheduler.costs)
        self._pixels_per_token = pixels_per_token
        self._patches = patches
        self._texts = TextTracker()
        self._states: dict[str, RequestState] = {}
        self._launched: deque[Launched] = deque()
        self._release: list[str] = []
        self._forget_scopes: list[str] = []
        self.busy_seconds = 0.0
        self.finished = 0
        self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not state.task.started for state in self._states.values())

    @property
    def running(self) -> int:
        return len(self._states) - self.waiting

    @property
    def is_empty(self) -> bool:
        """True if no request is left."""
        return not self._states

    def use_costs(self, costs: CostModel, base: ImageRequest) -> None:
        """Predict with these costs from now on. The scheduler's burst becomes the cost of the request ``base``."""
        self._scheduler.costs = costs
        self._budget = BatchBudget(costs)
        self._scheduler.burst = self.seconds_alone(base)
        for state in self._states.values():
            if not state.task.started:
                state.task.costs = self._unit_seconds(state.request, self._texts.new_tokens(state.request.id))
                self._scheduler.restart(state.task)

    def seconds_alone(self, request: ImageRequest) -> float:
        """Return the predicted seconds of a request on an idle device that has not encoded its texts."""
        costs = self._unit_seconds(request, [text_tokens(text) for text in texts_of(request)])
        return sum(costs[unit] for unit in units_of(request))

    def submit(
        self,
        request: ImageRequest,
        owner: Hashable,
        weight: float = 1.0,
        group: Hashable = None,
        group_weight: float = 1.0,
    ) -> Published:
        """Add a request. Raises :class:`ValueError` if the queue has one with its id."""
        if request.id in self._states:
            raise ValueError(f"The request {request.id} is already in the queue.")
        scope = scope_of(owner)
        self._texts.add(request.id, scope, texts_of(request))
        task = self._task(request, owner, weight, group, group_weight)
        self._scheduler.add(task)
        self._states[request.id] = RequestState(request, task, scope)
        position = self._scheduler.position(task)
        return [(request.id, Queued(position, None if position else task.remaining))]

    def cancel(self, request_id: str) -> Published:
        """End a request: now, or at the end of its unit if one is running. Ignores unknown ids."""
        state = self._states.get(request_id)
        if state is None:
            return []
        state.cancelled = True
        return [] if self._is_on_device(request_id) else self._end_cancelled(state)

    def forget(self, owner: Hashable) -> None:
        """Have the worker forget the embeddings of the owner's prompts."""
        scope = scope_of(owner)
        self._forget_scopes.append(scope)
        self._update_text_costs(self._texts.forget(scope))

    def next(self) -> Plan | None:
        """Return the plan to launch now, or None if there is nothing to do. Each plan must be given to :meth:`done`."""
        assert not self._launched, "the last plan is not done"
        batch = self._scheduler.next()
        if batch is not None or self._release or self._forget_scopes:
            return self._launch(batch)
        return None

    def next_ahead(self, longest: float) -> Plan | None:
        """Return the plan to launch before the running one has ended; None if there is none yet.

        That is so if it needs the result of the running one, as a step needs the length of its caption, or if it is
        predicted to take more than ``longest`` seconds: whoever cancels or comes meanwhile waits for it, too.
        """
        if len(self._launched) != 1:
            return None
        running = self._launched[0]
        batch = self._scheduler.next()
        if batch is None or running.batch is None or running.doomed or self._predicted(batch) > longest:
            return None
        if any(self._states[task.id].cancelled for task in batch.tasks):
            return None
        return self._launch(batch, ahead=True)

    def done(self, plan: Plan, result: PlanResult) -> Published:
        """Record the result of the plan that was launched first; returns the events that follow from it."""
        assert self.is_running(plan)
        batch = self._launched.popleft().batch
        self.busy_seconds += result.seconds
        if batch is None:
            return []
        # A request of a plan that was launched ahead may have ended meanwhile.
        batch = replace(batch, tasks=tuple(task for task in batch.tasks if self._is_current(task)))
        if result.skipped:
            return self._take_back(batch)
        if result.failures and self._launched:
            self._launched[0].doomed = True
        if result.out_of_memory:
            self._update_text_costs(self._texts.clear())  # the worker has freed its caches
        if result.out_of_memory and (cancelled := self._retry_smaller(batch)) is not None:
            return cancelled
        if not result.failures:
            self._budget.ran(result.seconds)
            self._learn(plan, result)
        total = sum(task.costs[batch.unit] for task in batch.tasks)
        for task in batch.tasks:
            self._states[task.id].seconds += result.seconds * task.costs[batch.unit] / total
        return [event for task in batch.tasks for event in self._record(self._states[task.id], batch.unit, result)]

    def is_running(self, plan: Plan) -> bool:
        """Return False if :meth:`drop_all` or :meth:`restart` has abandoned the plan."""
        return bool(self._launched) and plan is self._launched[0].plan

    def restart(self) -> Published:
        """Set all started requests back to their first unit, after the worker was lost with their tensors.

        The seconds that they took stay charged. A request fails if its unit was running for the second time when a
        worker was lost, since it may be the cause.
        """
        suspects = {name for launched in self._launched for name in launched.plan.ids}
        self._launched.clear()
        events: Published = []
        for state in list(self._states.values()):
            state.on_worker = False
            if state.request.id in suspects:
                state.losses += 1
            if state.cancelled:
                events += self._end_cancelled(state)
            elif state.losses > 1:
                events += self._fail(state, UnitFailed("The model failed on this picture twice; try another prompt."))
            elif state.task.started:
                state.steps_done = 0
                self._scheduler.restart(state.task)
        self._update_text_costs(self._texts.clear())
        self._release.clear()
        self._forget_scopes.clear()
        return events

    def drop_all(self, error: EngineError) -> Published:
        """End every request with ``error``: the engine is closing, or its device is lost."""
        self._launched.clear()
        ended = [event for state in list(self._states.values()) for event in self._fail(state, error)]
        self._release.clear()
        self._forget_scopes.clear()
        return ended

    def snapshot(self, count: int) -> Snapshot | None:
        """Return the order of now, with ``count`` tasks to run the rule forward on; None if no request waits."""
        waits = any(not state.task.started for state in self._states.values())
        return self._scheduler.snapshot(count) if waits else None

    def is_waiting(self, request_id: str) -> bool:
        """Return True if no unit of the request was begun."""
        state = self._states.get(request_id)
        return state is not None and not state.task.started

    def _launch(self, batch: Batch | None, *, ahead: bool = False) -> Plan:
        states = [self._states[task.id] for task in batch.tasks] if batch is not None else []
        plan = Plan(
            None if batch is None else batch.unit,
            tuple(state.request.id for state in states),
            tuple(NewRequest(state.request, state.scope) for state in states if not state.on_worker),
            tuple(self._release),
            tuple(self._forget_scopes),
            seconds=0.0 if batch is None else self._predicted(batch),
            ahead=ahead,
        )
        self._release.clear()
        self._forget_scopes.clear()
        for state in states:
            state.on_worker = True
        if batch is not None:
            self._scheduler.served(batch)
        self._launched.append(Launched(plan, batch))
        return plan

    def _task(
        self, request: ImageRequest, owner: Hashable, weight: float, group: Hashable, group_weight: float
    ) -> Task:
        caption = caption_tokens(request, self._pixels_per_token, self._patches)
        image, samples = step_tokens(request, self._pixels_per_token, 0), step_samples(request)
        return Task(
            id=request.id,
            owner=owner,
            weight=weight,
            group=group,
            group_weight=group_weight,
            units=units_of(request),
            costs=self._unit_seconds(request, self._texts.new_tokens(request.id)),
            shape=(image, samples),
            tokens=image + caption,
            samples=samples,
        )

    def _unit_seconds(self, request: ImageRequest, new_texts: Sequence[int]) -> dict[Unit, float]:
        caption = caption_tokens(request, self._pixels_per_token, self._patches)
        return unit_seconds(request, self._scheduler.costs, self._pixels_per_token, caption, new_texts)

    def _update_text_costs(self, names: Iterable[str]) -> None:
        """Predict again what the texts of these requests cost, of those that have not started."""
        for name in names:
            state = self._states[name]
            if not state.task.started:
                seconds = self._unit_seconds(state.request, self._texts.new_tokens(name))[Unit.ENCODE_TEXT]
                state.task.costs = {**state.task.costs, Unit.ENCODE_TEXT: seconds}
                self._scheduler.restart(state.task)

    def _predicted(self, batch: Batch) -> float:
        """Return the seconds that the batch's unit takes by the present costs."""
        if batch.unit is Unit.DENOISE:
            return self._scheduler.seconds(batch)
        return sum(
            self._unit_seconds(self._states[task.id].request, self._texts.new_tokens(task.id))[batch.unit]
            for task in batch.tasks
        )

    def _learn(self, plan: Plan, result: PlanResult) -> None:
        """Correct the costs by the seconds of a unit; those of texts by what the encoder really ran on."""
        assert plan.unit is not None
        predicted = plan.seconds
        if plan.unit is Unit.ENCODE_TEXT:
            predicted = self._scheduler.costs.encode([n for texts in result.encoded_tokens.values() for n in texts])
        self._scheduler.costs.observe(plan.unit, predicted, result.seconds)

    def _record(self, state: RequestState, unit: Unit, result: PlanResult) -> Published:
        """Apply a unit's result to one request; returns its event."""
        name = state.request.id
        state.retried = False
        if name in result.failures and not state.cancelled:
            return self._fail(state, result.failures[name])
        if name in result.images:
            del self._states[name]
            self._texts.remove(name)
            self.finished += 1
            return [(name, Finished(result.images[name], state.seconds, state.truncated))]
        if name in result.caption_tokens:
            self._update_text_costs(self._texts.encoded(name))
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
        if not batch.tasks:
            return []
        leader = batch.tasks[0]
        state = self._states[leader.id]
        if len(batch.tasks) == 1 and state.retried:
            return None
        state.retried = len(batch.tasks) == 1
        if batch.ahead_for is not None:
            batch.ahead_for.encode_ahead = 0.0  # encode each request when it leads
        elif len(batch.tasks) > 1:
            self._budget.halve(len(batch.tasks) * leader.tokens * leader.samples)
        return self._take_back(batch)

    def _take_back(self, batch: Batch) -> Published:
        """Plan a batch that was launched, but changed nothing, again. Returns the ends of the cancelled requests."""
        self._scheduler.undo(batch)
        cancelled = [state for task in batch.tasks if (state := self._states[task.id]).cancelled]
        return [event for state in cancelled for event in self._end_cancelled(state)]

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
        self._texts.remove(state.request.id)
        if state.request.id in self._scheduler.tasks:
            self._scheduler.remove(state.request.id)
        if state.on_worker:
            self._release.append(state.request.id)

    def _is_on_device(self, request_id: str) -> bool:
        return any(request_id in launched.plan.ids for launched in self._launched)

    def _is_current(self, task: Task) -> bool:
        state = self._states.get(task.id)
        return state is not None and state.task is task


def scope_of(owner: Hashable) -> str:
    """Return the owner's scope of embeddings. It does not say who the owner is."""
    return blake2b(repr(owner).encode(), digest_size=8).hexdigest()
