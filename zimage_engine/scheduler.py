"""Who runs next. Pure Python: no torch, no clock, no threads; the engine calls it under a lock.

First come, first served, one picture at a time: encode, then each denoising step, then decode. A cancelled
picture stops at the end of the unit that is running.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

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
)

Published = list[tuple[str, Event]]
"""Events by request id, in the order in which they happened."""


@dataclass(slots=True)
class Entry:
    """One request's life. ``steps_done`` is −1 until its text is encoded."""

    request: ImageRequest
    owner: Hashable
    steps_done: int = -1
    seconds: float = 0.0
    cancelled: bool = False
    truncated: bool = False

    @property
    def started(self) -> bool:
        return self.steps_done >= 0

    @property
    def unit(self) -> Unit:
        if self.steps_done < 0:
            return Unit.ENCODE_TEXT
        return Unit.DENOISE if self.steps_done < self.request.steps else Unit.DECODE

    @property
    def work(self) -> float:
        """Pixel-steps still to do: what the expected time is proportional to."""
        request = self.request
        passes = 2 if request.guidance_scale > 0 else 1
        return float(request.width * request.height * passes * (request.steps - max(0, self.steps_done)))


class Scheduler:
    """The queue of one device."""

    def __init__(self) -> None:
        self._queue: dict[str, Entry] = {}
        self._running: Plan | None = None
        self._release: list[str] = []
        self._done_work = 0.0
        self._done_seconds = 0.0
        self.finished = 0
        self.failed = 0

    @property
    def waiting(self) -> int:
        return sum(not entry.started for entry in self._queue.values())

    @property
    def running(self) -> int:
        return len(self._queue) - self.waiting

    @property
    def busy_seconds(self) -> float:
        return self._done_seconds

    def submit(self, request: ImageRequest, owner: Hashable) -> Published:
        """Take a request in; :class:`ValueError` where its id is already here."""
        if request.id in self._queue:
            raise ValueError(f"The request {request.id} is already in the queue.")
        self._queue[request.id] = Entry(request, owner)
        return self._positions()[-1:]

    def cancel(self, request_id: str) -> Published:
        """Forget a request: now, or at the end of its unit where one is running. Unknown ids are no error."""
        entry = self._queue.get(request_id)
        if entry is None:
            return []
        entry.cancelled = True
        if self._is_on_device(request_id):
            return []
        return [*self._end_cancelled(entry), *self._positions()]

    def next(self) -> Plan | None:
        """The unit to run now, or None where nothing waits. Each plan is answered by :meth:`done`."""
        assert self._running is None, "the last plan is not done"
        head = next(iter(self._queue.values()), None)
        if head is None:
            return None
        self._running = Plan(head.unit, (head.request,), tuple(self._release))
        self._release.clear()
        return self._running

    def done(self, plan: Plan, result: PlanResult) -> Published:
        """Book what a plan brought; the events that follow from it."""
        assert plan is self._running
        self._running = None
        self._done_seconds += result.seconds
        events: Published = []
        for request in plan.requests:
            entry = self._queue[request.id]
            entry.seconds += result.seconds / len(plan.requests)
            events += self._book(entry, plan.unit, result)
        if len(self._queue) and any(isinstance(event, Finished | Failed | Cancelled) for _, event in events):
            events += self._positions()
        return events

    def is_running(self, plan: Plan) -> bool:
        """False once :meth:`drop_all` has given the plan up."""
        return plan is self._running

    def drop_all(self, error: EngineError) -> Published:
        """End every request with ``error``: the engine is closing, or its device is lost."""
        events: Published = [(entry.request.id, Failed(error, entry.seconds)) for entry in self._queue.values()]
        self.failed += len(events)
        self._queue.clear()
        self._running = None
        return events

    def _book(self, entry: Entry, unit: Unit, result: PlanResult) -> Published:
        request_id = entry.request.id
        if request_id in result.failures:
            del self._queue[request_id]
            self.failed += 1
            return [(request_id, Failed(result.failures[request_id], entry.seconds))]
        if unit is Unit.DECODE:
            del self._queue[request_id]
            self.finished += 1
            self._done_work += Entry(entry.request, entry.owner).work
            return [(request_id, Finished(result.images[request_id], entry.seconds, entry.truncated))]
        entry.steps_done += 1
        entry.truncated = entry.truncated or request_id in result.truncated
        if entry.cancelled:
            return self._end_cancelled(entry)
        return [(request_id, Step(entry.steps_done, entry.request.steps))]

    def _end_cancelled(self, entry: Entry) -> Published:
        del self._queue[entry.request.id]
        if entry.started:
            self._release.append(entry.request.id)
        return [(entry.request.id, Cancelled(max(0, entry.steps_done), entry.seconds))]

    def _is_on_device(self, request_id: str) -> bool:
        return self._running is not None and any(request.id == request_id for request in self._running.requests)

    def _positions(self) -> Published:
        """Where each waiting request stands, and when it should be done."""
        pace = self._done_seconds / self._done_work if self._done_work else None
        ahead = 0.0
        events: Published = []
        for position, entry in enumerate(self._queue.values()):
            ahead += entry.work
            if not entry.started and not self._is_on_device(entry.request.id):
                events.append((entry.request.id, Queued(position, ahead * pace if pace is not None else None)))
        return events
