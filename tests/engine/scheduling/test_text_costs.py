"""A text costs what the encoder does for it: by its length, and once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

import pytest

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Cancelled, ImageRequest, OutOfMemory, Plan, PlanResult, Unit

GPU = "gpu"
ONE_MODEL = frozenset({"model"})
ASK = ImageRequest("a", "a red circle", 256, 256, 2, 0)


def a_queue(patches: int = 0, costs: CostModel | None = None) -> RequestQueue:
    """Return a queue for one model on one device."""
    costs = costs or CostModel(encode_text=0.5, encode_token=0.01)
    queue = RequestQueue(Scheduler(), {"model": QueueModel(1024, patches)})
    queue.add_device(GPU, {"model": costs}, ONE_MODEL, ONE_MODEL)
    return queue


def text_seconds(queue: RequestQueue, request: ImageRequest, owner: Hashable = 1) -> float:
    """Submit the request. Returns the seconds that its text unit is predicted to take."""
    queue.submit(request, owner)
    return queue._scheduler.tasks[request.id].costs[Unit.ENCODE_TEXT]


def launch(queue: RequestQueue) -> Plan:
    plan = queue.next(GPU)
    assert plan is not None
    return plan


def test_a_long_prompt_is_charged_and_forecast_by_its_length() -> None:
    queue = a_queue()
    short = text_seconds(queue, ASK)
    long = text_seconds(queue, replace(ASK, id="long", prompt="a red circle, " * 150))
    assert short == pytest.approx(0.5 + 0.01 * 11)
    assert long == pytest.approx(0.5 + 0.01 * 512)
    tasks = queue._scheduler.tasks
    assert tasks["long"].costs[Unit.DENOISE] > 2 * tasks["a"].costs[Unit.DENOISE], "the caption is part of each step"


def encode(queue: RequestQueue) -> None:
    """Run the next unit, which is to encode texts."""
    plan = launch(queue)
    assert plan.unit is Unit.ENCODE_TEXT
    queue.done(GPU, plan, PlanResult(1.0, caption_tokens=dict.fromkeys(plan.ids, (20,))))


def seconds_of(queue: RequestQueue, name: str) -> float:
    return queue._scheduler.tasks[name].costs[Unit.ENCODE_TEXT]


def test_a_prompt_that_was_encoded_for_the_owner_is_free_from_then_on() -> None:
    queue = a_queue()
    first = text_seconds(queue, ASK)
    assert text_seconds(queue, replace(ASK, id="same", seed=2)) == pytest.approx(first)
    assert text_seconds(queue, replace(ASK, id="other"), owner=2) == pytest.approx(first)
    before = queue._scheduler.tasks["same"].remaining
    encode(queue)
    assert seconds_of(queue, "same") < 0.001
    assert queue._scheduler.tasks["same"].remaining == pytest.approx(before - first, abs=0.001)
    assert seconds_of(queue, "other") == pytest.approx(first)
    assert text_seconds(queue, replace(ASK, id="late")) < 0.001
    guided = replace(ASK, id="guided", guidance_scale=4.0)
    assert text_seconds(queue, guided) == pytest.approx(0.5 + 0.01 * 8), "the empty negative prompt is new"


def test_a_forgotten_prompt_is_encoded_again() -> None:
    queue = a_queue()
    first = text_seconds(queue, ASK)
    text_seconds(queue, replace(ASK, id="same"))
    encode(queue)
    queue.forget(1)
    assert seconds_of(queue, "same") == pytest.approx(first)
    assert text_seconds(queue, replace(ASK, id="late")) == pytest.approx(first)


def test_after_a_lost_worker_or_full_memory_texts_are_encoded_again() -> None:
    queue = a_queue()
    first = text_seconds(queue, ASK)
    text_seconds(queue, replace(ASK, id="same"))
    encode(queue)
    launch(queue)
    costs = queue.predictions.costs["model"]
    queue.remove_device(GPU)
    queue.add_device(GPU, {"model": costs}, ONE_MODEL, ONE_MODEL)
    assert seconds_of(queue, "a") == pytest.approx(first)
    assert seconds_of(queue, "same") == pytest.approx(first)
    encode(queue)
    assert seconds_of(queue, "same") < 0.001
    plan = launch(queue)
    queue.done(GPU, plan, PlanResult(1.0, failures={"a": OutOfMemory("too large")}, out_of_memory=True))
    assert seconds_of(queue, "same") == pytest.approx(first)


def test_the_costs_learn_from_what_was_really_encoded() -> None:
    """A text that came from the cache says nothing; one of 200 tokens, predicted as 11, is no outlier."""
    queue = a_queue()
    costs = queue.predictions.costs["model"]
    for encoded, seconds, learned in (((), 1e-5, 1.0), ((200,), 2.5, 1.0), ((200,), 5.0, 2**0.1)):
        queue.submit(ASK, owner=1)
        plan = launch(queue)
        assert plan.unit is Unit.ENCODE_TEXT
        queue.done(GPU, plan, PlanResult(seconds, caption_tokens={"a": (200,)}, encoded_tokens={"a": encoded}))
        assert costs.correction.get(Unit.ENCODE_TEXT, 1.0) == pytest.approx(learned)
        ((_, ended),) = queue.cancel("a")
        assert isinstance(ended, Cancelled)
        queue.forget(1)


def test_a_batch_of_known_and_new_texts_shares_its_seconds() -> None:
    queue = a_queue(costs=CostModel(budget=1000))
    for name in ("a", "b", "c"):
        queue.submit(replace(ASK, id=name), owner=1)
    spent: dict[str, float] = {}
    while (plan := queue.next(GPU)) is not None:
        unit = plan.unit
        tokens = dict.fromkeys(plan.ids, (20,)) if unit is Unit.ENCODE_TEXT else {}
        queue.done(GPU, plan, PlanResult(1.0 * len(plan.ids), caption_tokens=tokens))
        spent = {name: state.seconds for name, state in queue._states.items()} or spent
        if unit is Unit.DECODE:
            break
    assert all(seconds > 0 for seconds in spent.values())


def test_the_steps_of_an_edit_by_instruction_include_the_image_from_the_start() -> None:
    queue = a_queue(patches=256)
    queue.submit(replace(ASK, original=Path("photo.png")), owner=1)
    queue.submit(replace(ASK, id="plain"), owner=1)
    tasks = queue._scheduler.tasks
    assert tasks["plain"].tokens == 64 + 32
    assert tasks["a"].tokens == 64 + 3 * 32 + 64 + 256 + 32
    assert tasks["a"].shape == tasks["plain"].shape, "a guess must not decide who can share a step"
