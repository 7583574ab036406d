"""Several models: a device serves what it holds, and loads another one when that costs less than waiting."""

from __future__ import annotations

import pytest

from benchmarks.simulated_devices import SimulatedDevices
from tests.helpers.pipelined_worker import PipelinedWorker, answer, ask, must
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Cancelled, Failed, ModelNotFound, PlanResult, Unit

COSTS = CostModel(base=0.05, linear=0.05 / 96)
LOAD = 5.0
MODELS = ("turbo", "base")


def devices_of(count: int, models: tuple[str, ...] = MODELS) -> SimulatedDevices:
    return SimulatedDevices(COSTS, [1.0] * count, models=models, load_seconds=LOAD)


def test_each_device_serves_the_model_that_it_holds() -> None:
    devices = devices_of(2)
    for number in range(20):
        devices.ask(number % 3, model=MODELS[number % 2])
    while devices.serve():
        pass
    assert len(devices.ended) == 20
    assert devices.loads == 0
    assert devices.busy["0"] == pytest.approx(devices.busy["1"])


def test_a_device_with_nothing_to_do_loads_at_once_what_no_device_has() -> None:
    devices = devices_of(1)
    task = devices.ask("member", model="base")
    while devices.serve():
        pass
    assert devices.loads == 1
    assert devices.ended[task.id] == pytest.approx(LOAD + task.costs[Unit.ENCODE_TEXT] + 8 * 0.1 + 0.1)


def test_one_device_that_is_always_asked_for_two_models_neither_alternates_nor_starves_one() -> None:
    devices = devices_of(1)
    waits: dict[str, list[float]] = {model: [] for model in MODELS}
    asked = {}
    while devices.clock < 600:
        for model in MODELS:
            if model not in asked or asked[model][0].id in devices.ended:
                if model in asked:
                    task, at = asked[model]
                    waits[model].append(devices.ended[task.id] - at)
                asked[model] = devices.ask(model, model=model), devices.clock
        devices.serve()
    assert devices.loads * LOAD < 0.3 * devices.clock
    for model in MODELS:
        assert max(waits[model]) < 8 * LOAD
        assert devices.served[model] == pytest.approx(devices.clock * 0.375, rel=0.15)


def test_who_asks_for_another_model_pays_for_loading_it() -> None:
    devices = devices_of(1)
    for _ in range(4):
        devices.ask("usual", model="turbo", steps=100)
    other = devices.ask("other", model="base", steps=1)
    while other.id not in devices.ended:
        devices.serve()
    shares = devices.scheduler.root.children[None].children
    assert shares["other"].work >= LOAD - devices.scheduler.burst


def test_requests_that_a_device_has_begun_end_before_their_model_is_dropped() -> None:
    devices = devices_of(1)
    first = devices.ask("usual", model="turbo", steps=20)
    devices.serve()
    for number in range(3):
        devices.ask(f"other {number}", model="base", steps=1)
    loaded_at = None
    while devices.serve():
        if devices.loads and loaded_at is None:
            loaded_at = devices.clock
    assert devices.loads == 1
    assert loaded_at is not None
    assert devices.ended[first.id] < loaded_at


def test_a_second_device_loads_a_model_only_if_enough_waits_for_it() -> None:
    """12 requests of 0.92 s are 11 s of work and not worth 5 s of loading, which pays for more than 15 s."""
    for count, loads in ((12, 0), (40, 1)):
        devices = devices_of(2)
        for number in range(count):
            devices.ask(number, model="base")
        while devices.serve():
            pass
        assert devices.loads == loads
        assert len(devices.ended) == count


def test_no_two_devices_load_a_model_at_once_for_one_request() -> None:
    devices = SimulatedDevices(COSTS, [1.0] * 4, models=("turbo", "base"), load_seconds=LOAD)
    for device in devices.scheduler.devices.values():
        device.models = frozenset({"turbo"})
    devices.ask("member", model="base")
    while devices.serve():
        pass
    assert devices.loads == 1


def queue_of(*names: str) -> tuple[RequestQueue, dict[str, PipelinedWorker]]:
    queue = RequestQueue(Scheduler(), dict.fromkeys(MODELS, QueueModel(1024)))
    return queue, {name: PipelinedWorker(queue, name, CostModel(), models=MODELS) for name in names}


def test_a_load_that_fails_ends_its_request_and_the_next_one_tries_again() -> None:
    queue, _ = queue_of("gpu")
    for name in "ab":
        queue.submit(ask(name, model="base"), owner=name)
    plan = must(queue.next("gpu"))
    assert (plan.unit, plan.model, plan.ids, plan.new) == (Unit.LOAD_MODEL, "base", ("a",), ())
    assert queue.next_ahead("gpu", 100.0) is None
    error = ModelNotFound("The weights are gone.")
    events = queue.done("gpu", plan, PlanResult(1.0, failures={"a": error}, models=frozenset({"turbo"})))
    assert events == [("a", Failed(error, 0.0))]
    plan = must(queue.next("gpu"))
    assert (plan.unit, plan.ids) == (Unit.LOAD_MODEL, ("b",))
    assert queue.done("gpu", plan, PlanResult(1.0, models=frozenset({"base"}))) == []
    assert queue.models_on("gpu") == {"base"}
    plan = must(queue.next("gpu"))
    assert (plan.unit, plan.model, [new.request.id for new in plan.new]) == (Unit.ENCODE_TEXT, "base", ["b"])
    assert queue.done("gpu", plan, answer(plan))[0][0] == "b"


def test_a_request_can_be_cancelled_while_its_model_is_loaded() -> None:
    queue, workers = queue_of("gpu")
    queue.submit(ask("a", model="base"), owner=1)
    workers["gpu"].launch(ahead=False)
    assert queue.cancel("a") == [("a", Cancelled(0, 0.0))]
    assert workers["gpu"].finish("run") == []
    assert not workers["gpu"].launch(ahead=False)


def test_a_device_that_is_lost_while_it_loads_is_blamed_on_the_second_time() -> None:
    queue, workers = queue_of("gpu")
    queue.submit(ask("a", model="base"), owner=1)
    for _ in range(2):
        workers["gpu"].launch(ahead=False)
        events = workers["gpu"].finish("lose")
    ((name, event),) = events
    assert name == "a"
    assert isinstance(event, Failed)
    assert "choose another" in str(event.error), "its prompt is not to blame"


def test_a_model_that_takes_both_is_not_loaded_again() -> None:
    queue, _ = queue_of("gpu")
    queue.submit(ask("a", model="base"), owner=1)
    plan = must(queue.next("gpu"))
    queue.done("gpu", plan, PlanResult(1.0, models=frozenset(MODELS)))
    for number in range(6):
        queue.submit(ask(f"{number}", model=MODELS[number % 2]), owner=number)
    units = []
    while (plan := queue.next("gpu")) is not None:  # type: ignore[assignment]
        units.append(plan.unit)
        queue.done("gpu", plan, answer(plan))
    assert Unit.LOAD_MODEL not in units
    assert units.count(Unit.DECODE) == 7


def test_costs_are_replaced_after_a_model_was_measured() -> None:
    queue, _ = queue_of("gpu")
    queue.submit(ask("a", model="base"), owner=1)
    before = queue.predictions.seconds_alone(ask("b", model="base"))
    measured = CostModel(base=1.0, linear=1e-2)
    queue.use_costs("gpu", {"turbo": CostModel(), "base": measured}, {"turbo": 1.0, "base": 2.0})
    assert queue.predictions.seconds_alone(ask("b", model="base")) > 10 * before
    assert must(queue.next("gpu")).seconds == 2.0
