"""The request queue, without torch: plans, events, cancelling, memory, restarts, forecasts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.forecast import run_forward
from zimage_engine.scheduling.queue import Published, RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import (
    Cancelled,
    EngineClosed,
    EngineError,
    Failed,
    Finished,
    ImageRequest,
    OutOfMemory,
    Plan,
    PlanResult,
    Queued,
    RawImage,
    Unit,
    UnitFailed,
)

IMAGE = RawImage(1, 1, b"\0\0\0")


def queue_of(budget: int = 0) -> RequestQueue:
    return RequestQueue(Scheduler(CostModel(budget=budget)), pixels_per_token=1024)


def ask(name: str, steps: int = 2, side: int = 256) -> ImageRequest:
    return ImageRequest(name, "p", side, side, steps, 0)


def answer(plan: Plan, **changes: object) -> PlanResult:
    names = [request.id for request in plan.requests]
    images = dict.fromkeys(names, IMAGE) if plan.unit is Unit.DECODE else {}
    texts = dict.fromkeys(names, (20,)) if plan.unit is Unit.ENCODE_TEXT else {}
    return PlanResult(1.0, images=images, caption_tokens=texts, **changes)  # type: ignore[arg-type]


def exhausted(plan: Plan) -> PlanResult:
    failures: dict[str, EngineError] = {request.id: OutOfMemory("too large") for request in plan.requests}
    return PlanResult(1.0, failures=failures, out_of_memory=True)


def forecast_of(queue: RequestQueue, now: float) -> Published:
    copied = queue.forecast_due(now)
    return [] if copied is None else queue.expected(run_forward(copied))


def must(plan: Plan | None) -> Plan:
    assert plan is not None
    return plan


def names_of(plan: Plan) -> list[str]:
    return [request.id for request in plan.requests]


def test_units_of_a_request_in_order() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    units: list[Unit] = []
    while (plan := queue.next()) is not None:
        units.append(plan.unit)
        events = queue.done(plan, answer(plan))
    assert units == [Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DENOISE, Unit.DECODE]
    assert events[-1] == ("a", Finished(IMAGE, 4.0))


def test_requests_of_one_key_share_a_step_up_to_the_budget() -> None:
    queue = queue_of(budget=3 * 96)
    for name in "abcd":
        queue.submit(ask(name), owner=1)
    queue.submit(ask("wide", side=512), owner=1)
    plans: list[tuple[Unit, list[str]]] = []
    while (plan := queue.next()) is not None:
        plans.append((plan.unit, names_of(plan)))
        queue.done(plan, answer(plan))
    assert plans[:3] == [
        (Unit.ENCODE_TEXT, ["a"]),
        (Unit.ENCODE_TEXT, ["b", "c"]),
        (Unit.DENOISE, ["a", "b", "c"]),
    ]
    assert all("wide" not in names or len(names) == 1 for _, names in plans)
    assert sum(unit is Unit.DENOISE for unit, _ in plans) == 2 + 2 + 2


def test_captions_of_another_padded_length_do_not_share_a_step() -> None:
    queue = queue_of(budget=1000)
    for name in "ab":
        queue.submit(ask(name), owner=1)
    shared: list[int] = []
    while (plan := queue.next()) is not None:
        if plan.unit is Unit.DENOISE:
            shared.append(len(plan.requests))
        lengths = {name: (20,) if name == "a" else (40,) for name in names_of(plan)}
        images = {name: IMAGE for name in names_of(plan) if plan.unit is Unit.DECODE}
        queue.done(plan, PlanResult(1.0, images=images, caption_tokens=lengths))
    assert shared == [1, 1, 1, 1]


def test_waiting_requests_learn_their_position_and_expected_time() -> None:
    queue = queue_of()
    (first,), (second,) = queue.submit(ask("a"), owner=1), queue.submit(ask("b"), owner=1)
    assert isinstance(first[1], Queued)
    assert (first[1].position, first[1].eta is None) == (0, False)
    assert second == ("b", Queued(1, None))
    plan = must(queue.next())
    queue.done(plan, answer(plan))
    forecast = dict(forecast_of(queue, now=10.0))
    assert list(forecast) == ["b"]
    assert forecast["b"].position == 1
    assert forecast["b"].eta > first[1].eta  # type: ignore[operator]
    assert forecast_of(queue, now=10.5) == []
    assert forecast_of(queue, now=11.1) != []


def test_too_little_memory_halves_the_batch_and_then_fails_the_request_that_does_not_fit_alone() -> None:
    queue = queue_of(budget=4 * 96)
    for name in "abcd":
        queue.submit(ask(name, steps=1), owner=1)
    sizes: list[int] = []
    ended: dict[str, object] = {}
    while (plan := queue.next()) is not None:
        small = plan.unit is not Unit.DENOISE or (len(plan.requests) == 1 and "b" not in names_of(plan))
        if plan.unit is Unit.DENOISE:
            sizes.append(len(plan.requests))
        ended |= dict(queue.done(plan, answer(plan) if small else exhausted(plan)))
    assert sizes == [4, 2, 1, 1, 1, 1, 1]
    assert isinstance(ended["b"], Failed)
    assert isinstance(ended["b"].error, OutOfMemory)
    assert all(isinstance(ended[name], Finished) for name in "acd")


def test_only_a_batch_of_steps_that_does_not_fit_makes_batches_smaller() -> None:
    """A single picture or a decode that does not fit says nothing about batches."""
    for unit, side in ((Unit.DECODE, 256), (Unit.DENOISE, 512), (Unit.ENCODE_TEXT, 256)):
        costs = CostModel(budget=4 * 96)
        queue = RequestQueue(Scheduler(costs), pixels_per_token=1024)
        queue.submit(ask("a", side=side), owner=1)
        while (plan := queue.next()) is not None:
            queue.done(plan, exhausted(plan) if plan.unit is unit else answer(plan))
        assert costs.budget == 4 * 96


def test_the_costs_learn_from_what_units_take_and_do_not_run_away() -> None:
    """All forty are predicted when they are added; decodes that take twice as long double the cost, and no more."""
    costs = CostModel()
    queue = RequestQueue(Scheduler(costs), pixels_per_token=1024)
    for number in range(40):
        queue.submit(ask(f"{number}", steps=1), owner=1)
    expected = 2 * costs.decode(256 * 256)
    while (plan := queue.next()) is not None:
        seconds = {Unit.ENCODE_TEXT: 1e-6, Unit.DENOISE: costs.step(96), Unit.DECODE: expected}[plan.unit]
        queue.done(plan, replace(answer(plan), seconds=seconds))
    assert costs.decode(256 * 256) == pytest.approx(expected, rel=0.05)
    assert costs.encode() == CostModel().encode(), "texts from the cache say nothing about the encoder"


def test_a_failed_step_is_not_counted_for_a_request_cancelled_meanwhile() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    plan = must(queue.next())
    queue.done(plan, answer(plan))
    plan = must(queue.next())
    queue.cancel("a")
    ((name, event),) = queue.done(plan, answer(plan, failures={"a": UnitFailed("x")}))
    assert (name, event) == ("a", Cancelled(0, 2.0))


def test_a_long_caption_raises_the_predicted_cost() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    task = queue._scheduler.tasks["a"]
    short = task.costs[Unit.DENOISE]
    plan = must(queue.next())
    queue.done(plan, PlanResult(0.02, caption_tokens={"a": (500,)}))
    assert task.tokens == 64 + 512
    assert task.costs[Unit.DENOISE] == pytest.approx(CostModel().step(64 + 512), rel=0.2)
    assert task.costs[Unit.DENOISE] > 3 * short
    assert task.remaining == pytest.approx(2 * task.costs[Unit.DENOISE] + task.costs[Unit.DECODE])
    queue.next()
    queue.restart()
    plan = must(queue.next())
    queue.done(plan, PlanResult(0.02, caption_tokens={"a": (500,)}))
    assert task.tokens == 64 + 512, "the caption counts once, however often the request begins again"


def test_a_lost_worker_s_requests_begin_again_and_a_second_loss_fails_the_running_one() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=3), owner=1)
    for _ in range(2):
        plan = must(queue.next())
        queue.done(plan, answer(plan))
    queue.submit(ask("b", steps=9), owner=1)
    assert names_of(must(queue.next())) == ["a"]
    assert queue.restart() == []
    assert must(queue.next()).unit is Unit.ENCODE_TEXT
    events = queue.restart()
    assert [(name, type(event)) for name, event in events] == [("a", Failed)]
    assert isinstance(events[0][1].error, UnitFailed)  # type: ignore[union-attr]
    plan = must(queue.next())
    assert (names_of(plan), plan.release) == (["b"], ())


@given(
    st.lists(st.tuples(st.sampled_from(["submit", "cancel", "run", "fail", "memory", "lose"]), st.integers(0, 9))),
    st.sampled_from([0, 200, 1000]),
)
def test_every_request_ends_exactly_once_and_the_worker_is_told_to_forget(
    operations: list[tuple[str, int]], budget: int
) -> None:
    """After any operations in any order: one terminal event each, and the worker holds nothing of ended requests."""
    queue, live, ended, slots, count = queue_of(budget), list[str](), list[str](), set[str](), 0

    def book(events: list) -> None:
        for name, event in events:
            if isinstance(event, Finished | Failed | Cancelled):
                live.remove(name)
                ended.append(name)

    def run(kind: str = "run") -> None:
        plan = queue.next()
        if plan is None:
            assert not live
            return
        slots.difference_update(plan.release)
        if kind == "lose":
            slots.clear()
            book(queue.restart())
            return
        assert plan.unit is Unit.ENCODE_TEXT or slots.issuperset(names_of(plan))
        slots.update(names_of(plan))
        failures: dict[str, EngineError] = {names_of(plan)[0]: UnitFailed("x")} if kind == "fail" else {}
        result = exhausted(plan) if kind == "memory" else answer(plan, failures=failures)
        if plan.unit is Unit.DECODE and kind != "memory":
            slots.difference_update(names_of(plan))
        book(queue.done(plan, result))

    def submit(steps: int, owner: int) -> None:
        nonlocal count
        live.append(f"r{count}")
        book(queue.submit(ask(f"r{count}", steps=steps, side=256 * (1 + owner % 2)), owner=owner))
        count += 1

    for operation, number in operations:
        if operation == "submit":
            submit(1 + number % 3, number)
        elif operation == "cancel" and live:
            book(queue.cancel(live[number % len(live)]))
        else:
            run(operation)
    while live:
        run()
    submit(1, 0)
    while live:
        run()
    assert len(ended) == len(set(ended)) == count
    assert not slots
    assert (queue.waiting, queue.running) == (0, 0)


def test_dropping_everything_fails_what_is_left() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    plan = must(queue.next())
    error = EngineClosed("over")
    assert queue.drop_all(error) == [("a", Failed(error, 0.0))]
    assert not queue.is_running(plan)
    assert queue.next() is None
