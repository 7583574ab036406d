"""The request queue, without torch: plans, events, cancelling, memory, restarts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.pipelined_worker import IMAGE, PipelinedWorker, answer, ask, exhausted, must
from zimage_engine.scheduling.batch_budget import BatchBudget
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published, scope_of
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import (
    Cancelled,
    EngineClosed,
    Failed,
    Finished,
    OutOfMemory,
    Plan,
    PlanResult,
    Queued,
    Unit,
    UnitFailed,
)

GPU = "gpu"
ONE_MODEL = frozenset({"model"})


def queue_of(budget: int = 0, costs: CostModel | None = None) -> RequestQueue:
    """Return a queue for one model on one device."""
    costs = costs or CostModel(budget=budget)
    queue = RequestQueue(Scheduler(), {"model": QueueModel(pixels_per_token=1024)})
    queue.add_device(GPU, {"model": costs}, ONE_MODEL, ONE_MODEL)
    return queue


def lose(queue: RequestQueue) -> Published:
    """Lose the worker; another one is loaded at once."""
    costs = queue.predictions.costs["model"]
    events = queue.remove_device(GPU)
    queue.add_device(GPU, {"model": costs}, ONE_MODEL, ONE_MODEL)
    return events


def names_of(plan: Plan) -> list[str]:
    return list(plan.ids)


def test_units_of_a_request_in_order() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    units: list[Unit] = []
    while (plan := queue.next(GPU)) is not None:
        units.append(plan.unit)
        events = queue.done(GPU, plan, answer(plan))
    assert units == [Unit.ENCODE_TEXT, Unit.DENOISE, Unit.DENOISE, Unit.DECODE]
    assert events[-1] == ("a", Finished(IMAGE, 4.0))


def test_requests_of_one_key_share_a_step_up_to_the_budget() -> None:
    queue = queue_of(budget=3 * 96)
    for name in "abcd":
        queue.submit(ask(name), owner=1)
    queue.submit(ask("wide", side=512), owner=1)
    plans: list[tuple[Unit, list[str]]] = []
    while (plan := queue.next(GPU)) is not None:
        plans.append((plan.unit, names_of(plan)))
        queue.done(GPU, plan, answer(plan))
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
    while (plan := queue.next(GPU)) is not None:
        if plan.unit is Unit.DENOISE:
            shared.append(len(plan.ids))
        lengths = {name: (20,) if name == "a" else (40,) for name in names_of(plan)}
        images = {name: IMAGE for name in names_of(plan) if plan.unit is Unit.DECODE}
        queue.done(GPU, plan, PlanResult(1.0, images=images, caption_tokens=lengths))
    assert shared == [1, 1, 1, 1]


def test_a_request_learns_its_position_when_it_is_submitted() -> None:
    queue = queue_of()
    (first,), (second,) = queue.submit(ask("a"), owner=1), queue.submit(ask("b"), owner=1)
    assert isinstance(first[1], Queued)
    assert (first[1].position, first[1].eta is None) == (0, False)
    assert second == ("b", Queued(1, None))


def test_too_little_memory_halves_the_batch_and_then_fails_the_request_that_does_not_fit_alone() -> None:
    queue = queue_of(budget=4 * 96)
    for name in "abcd":
        queue.submit(ask(name, steps=1), owner=1)
    sizes: list[int] = []
    ended: dict[str, object] = {}
    while (plan := queue.next(GPU)) is not None:
        small = plan.unit is not Unit.DENOISE or (len(plan.ids) == 1 and "b" not in names_of(plan))
        if plan.unit is Unit.DENOISE:
            sizes.append(len(plan.ids))
        ended |= dict(queue.done(GPU, plan, answer(plan) if small else exhausted(plan)))
    assert sizes == [4, 2, 1, 1, 1, 1, 1]
    assert isinstance(ended["b"], Failed)
    assert isinstance(ended["b"].error, OutOfMemory)
    assert all(isinstance(ended[name], Finished) for name in "acd")


def test_only_a_batch_of_steps_that_does_not_fit_makes_batches_smaller() -> None:
    """A single picture or a decode that does not fit says nothing about batches."""
    for unit, side in ((Unit.DECODE, 256), (Unit.DENOISE, 512), (Unit.ENCODE_TEXT, 256)):
        costs = CostModel(budget=4 * 96)
        queue = queue_of(costs=costs)
        queue.submit(ask("a", side=side), owner=1)
        while (plan := queue.next(GPU)) is not None:
            queue.done(GPU, plan, exhausted(plan) if plan.unit is unit else answer(plan))
        assert costs.budget == 4 * 96


def test_the_costs_learn_from_what_units_take_and_do_not_run_away() -> None:
    """All forty are predicted when they are added; decodes that take twice as long double the cost, and no more."""
    costs = CostModel()
    queue = queue_of(costs=costs)
    for number in range(40):
        queue.submit(ask(f"{number}", steps=1), owner=1)
    expected = 2 * costs.decode(256 * 256)
    while (plan := queue.next(GPU)) is not None:
        seconds = {Unit.ENCODE_TEXT: 1e-6, Unit.DENOISE: costs.step(96), Unit.DECODE: expected}[plan.unit]
        queue.done(GPU, plan, replace(answer(plan), seconds=seconds))
    assert costs.decode(256 * 256) == pytest.approx(expected, rel=0.05)
    assert costs.encode() == CostModel().encode(), "texts from the cache say nothing about the encoder"


def test_a_failed_step_is_not_counted_for_a_request_cancelled_meanwhile() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    plan = must(queue.next(GPU))
    queue.done(GPU, plan, answer(plan))
    plan = must(queue.next(GPU))
    queue.cancel("a")
    ((name, event),) = queue.done(GPU, plan, answer(plan, failures={"a": UnitFailed("x")}))
    assert (name, event) == ("a", Cancelled(0, 2.0, 1))


def test_a_long_caption_raises_the_predicted_cost() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    task = queue._scheduler.tasks["a"]
    short = task.costs[Unit.DENOISE]
    plan = must(queue.next(GPU))
    queue.done(GPU, plan, PlanResult(0.02, caption_tokens={"a": (500,)}))
    assert task.tokens == 64 + 512
    assert task.costs[Unit.DENOISE] == pytest.approx(CostModel().step(64 + 512), rel=0.2)
    assert task.costs[Unit.DENOISE] > 3 * short
    assert task.remaining == pytest.approx(2 * task.costs[Unit.DENOISE] + task.costs[Unit.DECODE])
    queue.next(GPU)
    lose(queue)
    plan = must(queue.next(GPU))
    queue.done(GPU, plan, PlanResult(0.02, caption_tokens={"a": (500,)}))
    assert task.tokens == 64 + 512, "the caption counts once, however often the request begins again"


def test_a_lost_worker_s_requests_begin_again_and_a_second_loss_fails_the_running_one() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=3), owner=1)
    for _ in range(2):
        plan = must(queue.next(GPU))
        queue.done(GPU, plan, answer(plan))
    queue.submit(ask("b", steps=9), owner=1)
    assert names_of(must(queue.next(GPU))) == ["a"]
    assert lose(queue) == []
    assert must(queue.next(GPU)).unit is Unit.ENCODE_TEXT
    events = lose(queue)
    assert [(name, type(event)) for name, event in events] == [("a", Failed)]
    assert isinstance(events[0][1].error, UnitFailed)  # type: ignore[union-attr]
    plan = must(queue.next(GPU))
    assert (names_of(plan), plan.release) == (["b"], ())


OPERATIONS = ["submit", "cancel", "run", "ahead", "fail", "memory", "lose"]


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 9))), st.sampled_from([0, 200, 1000]))
def test_every_request_ends_exactly_once_and_the_worker_is_told_to_forget(
    operations: list[tuple[str, int]], budget: int
) -> None:
    """After any operations in any order: one terminal event each, and the worker holds nothing of ended requests."""
    queue, live, count = RequestQueue(Scheduler(), {"model": QueueModel(1024)}), list[str](), 0
    worker = PipelinedWorker(queue, GPU, CostModel(budget=budget))

    def note(events: Published) -> None:
        for name, event in events:
            if isinstance(event, Finished | Failed | Cancelled):
                live.remove(name)
                assert name not in worker.ended
                worker.ended.add(name)

    def submit(steps: int, owner: int) -> None:
        nonlocal count
        live.append(f"r{count}")
        note(queue.submit(ask(f"r{count}", steps=steps, side=256 * (1 + owner % 2)), owner=owner))
        count += 1

    for operation, number in operations:
        if operation == "submit":
            submit(1 + number % 3, number)
        elif operation == "cancel" and live:
            note(queue.cancel(live[number % len(live)]))
        elif operation == "ahead":
            worker.launch(ahead=True)
        elif worker.plans or worker.launch(ahead=False):
            note(worker.finish(operation))
    while worker.plans or worker.launch(ahead=False):
        worker.launch(ahead=True)
        note(worker.finish("run"))
    assert not live
    assert len(worker.ended) == count
    assert not worker.held
    assert (queue.waiting, queue.running) == (0, 0)


def test_a_plan_ahead_needs_no_result_of_the_running_one() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=2), owner=1)
    encode = must(queue.next(GPU))
    assert queue.next_ahead(GPU, math.inf) is None, "the caption's length decides what a step costs"
    queue.done(GPU, encode, answer(encode))
    step = must(queue.next(GPU))
    assert queue.next_ahead(GPU, step.seconds / 2) is None, "too long a unit to be waited for by who comes meanwhile"
    follower = must(queue.next_ahead(GPU, math.inf))
    assert (follower.unit, follower.ids, follower.ahead, follower.new) == (Unit.DENOISE, ("a",), True, ())
    assert queue.next_ahead(GPU, math.inf) is None, "one unit ahead and no more"
    queue.done(GPU, step, answer(step))
    decode = must(queue.next_ahead(GPU, math.inf))
    assert decode.unit is Unit.DECODE
    queue.done(GPU, follower, answer(follower))
    assert queue.done(GPU, decode, answer(decode)) == [("a", Finished(IMAGE, 4.0))]


def test_a_request_that_may_have_cost_a_worker_shares_no_moment_with_others() -> None:
    """So that the second loss fails it, and not who happened to be launched beside it."""
    queue = queue_of()
    for name in "ab":
        queue.submit(ask(name, steps=3), owner=name)

    def two_steps_of_a_and_one_of_b() -> None:
        for _ in range(4):
            plan = must(queue.next(GPU))
            queue.done(GPU, plan, answer(plan))

    two_steps_of_a_and_one_of_b()
    must(queue.next(GPU))
    must(queue.next_ahead(GPU, math.inf))
    assert lose(queue) == []
    for _ in range(6):
        plan = must(queue.next(GPU))
        assert queue.next_ahead(GPU, math.inf) is None
        queue.done(GPU, plan, answer(plan))


@pytest.mark.parametrize("owners", [1, 3])
def test_encoding_ahead_that_does_not_fit_is_not_tried_for_ever(owners: int) -> None:
    queue = queue_of(budget=1000)
    for number in range(3):
        queue.submit(replace(ask(f"{number}", steps=1), prompt=f"p{number}"), owner=number % owners)
    ended: list[str] = []
    for _ in range(40):
        if (plan := queue.next(GPU)) is None:
            break
        fits = plan.unit is not Unit.ENCODE_TEXT or len(plan.ids) == 1
        events = queue.done(GPU, plan, answer(plan) if fits else exhausted(plan))
        ended += [name for name, event in events if isinstance(event, Finished)]
    assert sorted(ended) == ["0", "1", "2"]


def test_requests_that_may_have_cost_a_worker_are_not_batched_again() -> None:
    queue = queue_of(budget=1000)
    for name in "ab":
        queue.submit(ask(name, steps=3), owner=name)
    while (plan := must(queue.next(GPU))).unit is not Unit.DENOISE:
        queue.done(GPU, plan, answer(plan))
    assert plan.ids == ("a", "b")
    lose(queue)
    sizes = []
    while (following := queue.next(GPU)) is not None:
        sizes.append(len(following.ids))
        queue.done(GPU, following, answer(following))
    assert set(sizes) == {1}


def test_a_request_whose_units_are_done_without_a_picture_fails() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=1), owner=1)
    events: Published = []
    while (plan := queue.next(GPU)) is not None:
        result = answer(plan)
        events += queue.done(GPU, plan, replace(result, images={}))
    assert isinstance(events[-1][1], Failed)


def test_a_cancelled_request_ends_with_its_unit_and_is_released_after_the_one_ahead() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=3), owner=1)
    encode = must(queue.next(GPU))
    queue.done(GPU, encode, answer(encode))
    step = must(queue.next(GPU))
    follower = must(queue.next_ahead(GPU, math.inf))
    queue.cancel("a")
    assert queue.done(GPU, step, answer(step)) == [("a", Cancelled(1, 2.0, 2))], "the unit ahead is not charged"
    assert queue.done(GPU, follower, answer(follower)) == []
    release = must(queue.next(GPU))
    assert (release.unit, release.release) == (None, ("a",))
    queue.done(GPU, release, PlanResult(0.0))
    assert queue.next(GPU) is None


def test_a_skipped_plan_is_planned_again() -> None:
    queue = queue_of()
    queue.submit(ask("a", steps=2), owner=1)
    encode = must(queue.next(GPU))
    queue.done(GPU, encode, answer(encode))
    step = must(queue.next(GPU))
    follower = must(queue.next_ahead(GPU, math.inf))
    assert queue.done(GPU, step, exhausted(step)) == []
    assert queue.next_ahead(GPU, math.inf) is None, "the follower will be skipped"
    assert queue.done(GPU, follower, PlanResult(0.0, skipped=True)) == []
    units = []
    while (plan := queue.next(GPU)) is not None:
        units.append(plan.unit)
        events = queue.done(GPU, plan, answer(plan))
    assert units == [Unit.DENOISE, Unit.DENOISE, Unit.DECODE]
    assert isinstance(events[-1][1], Finished)


def test_the_worker_is_told_at_once_to_forget_an_owner_and_what_was_cancelled() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    queue.submit(ask("b"), owner=2)
    plan = must(queue.next(GPU))
    assert [new.scope for new in plan.new] == [scope_of(1)]
    assert scope_of(1) != scope_of(2)
    queue.done(GPU, plan, answer(plan))
    queue.cancel("a")
    queue.cancel("b")
    queue.forget(1)
    last = must(queue.next(GPU))
    assert (last.unit, last.release, last.forget) == (None, ("a",), (scope_of(1),))
    queue.done(GPU, last, PlanResult(0.0))
    assert queue.next(GPU) is None


def test_a_budget_that_was_halved_grows_back_after_a_quiet_while() -> None:
    costs = CostModel(budget=800)
    budget = BatchBudget(costs)
    budget.halve(800)
    budget.halve(400)
    assert costs.budget == 200
    grown = []
    for _ in range(30):
        budget.ran(100.0)
        grown.append(costs.budget)
    assert grown == [200] * 5 + [400] * 6 + [800] * 19
    budget.halve(2000)
    assert costs.budget == 800, "batches are that small already"


def test_dropping_everything_fails_what_is_left() -> None:
    queue = queue_of()
    queue.submit(ask("a"), owner=1)
    plan = must(queue.next(GPU))
    error = EngineClosed("over")
    assert queue.drop_all(error) == [("a", Failed(error, 0.0))]
    assert not queue.is_running(GPU, plan)
    assert queue.next_ahead(GPU, math.inf) is None
    assert queue.next(GPU) is None
