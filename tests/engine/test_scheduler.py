"""The queue, without torch: plans, bookkeeping, cancelling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zimage_engine.scheduler import Scheduler
from zimage_engine.types import (
    Cancelled,
    EngineClosed,
    Failed,
    Finished,
    ImageRequest,
    Plan,
    PlanResult,
    Queued,
    RawImage,
    Unit,
)

IMAGE = RawImage(1, 1, b"\0\0\0")


def ask(name: str, steps: int = 2) -> ImageRequest:
    return ImageRequest(name, "p", 256, 256, steps, 0)


def answer(plan: Plan) -> PlanResult:
    images = {request.id: IMAGE for request in plan.requests} if plan.unit is Unit.DECODE else {}
    return PlanResult(1.0, images=images)


def test_units_of_a_request_in_order() -> None:
    scheduler = Scheduler()
    scheduler.submit(ask("a"), owner=1)
    units: list[Unit] = []
    while (plan := scheduler.next()) is not None:
        units.append(plan.unit)
        events = scheduler.done(plan, answer(plan))
    assert units == [Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DENOISE, Unit.DECODE]
    assert events[-1] == ("a", Finished(IMAGE, 4.0))


def test_waiting_requests_learn_their_position_and_when() -> None:
    scheduler = Scheduler()
    assert scheduler.submit(ask("a"), owner=1) == [("a", Queued(0, None))]
    assert scheduler.submit(ask("b"), owner=1) == [("b", Queued(1, None))]
    for _ in range(4):
        plan = scheduler.next()
        assert plan is not None
        events = scheduler.done(plan, answer(plan))
    assert events[1] == ("b", Queued(0, 4.0))


@given(st.lists(st.tuples(st.sampled_from(["submit", "cancel", "run"]), st.integers(0, 9)), max_size=80))
def test_every_request_ends_exactly_once_and_the_worker_is_told_to_forget(operations: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: one terminal event each, and no slot is held for a request that is gone."""
    scheduler, live, ended, slots, count = Scheduler(), [], [], set(), 0

    def book(events: list) -> None:
        for name, event in events:
            if isinstance(event, Finished | Failed | Cancelled):
                live.remove(name)
                ended.append(name)

    def run() -> None:
        plan = scheduler.next()
        if plan is None:
            assert not live
            return
        slots.difference_update(plan.release)
        slots.update(request.id for request in plan.requests)
        if plan.unit is Unit.DECODE:
            slots.difference_update(request.id for request in plan.requests)
        book(scheduler.done(plan, answer(plan)))

    for operation, number in operations:
        if operation == "submit":
            name = f"r{count}"
            count += 1
            live.append(name)
            book(scheduler.submit(ask(name, steps=1 + number % 3), owner=number))
        elif operation == "cancel" and live:
            book(scheduler.cancel(live[number % len(live)]))
        else:
            run()
    while live:
        run()
    scheduler.submit(ask("last"), owner=0)
    live.append("last")
    while live:
        run()
    assert len(ended) == len(set(ended)) == count + 1
    assert not slots
    assert (scheduler.waiting, scheduler.running) == (0, 0)


def test_dropping_everything_fails_what_is_left() -> None:
    scheduler = Scheduler()
    scheduler.submit(ask("a"), owner=1)
    plan = scheduler.next()
    assert plan is not None
    error = EngineClosed("over")
    assert scheduler.drop_all(error) == [("a", Failed(error, 0.0))]
    assert not scheduler.is_running(plan)
