"""Positions and expected times of waiting requests, by a thread of its own."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from random import Random

import pytest

from benchmarks.simulated_devices import SimulatedDevices
from tests.helpers.waiting import until
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.expected_times import expected_ends, run_forward
from zimage_engine.scheduling.forecast import Forecaster
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.snapshot import Snapshot
from zimage_engine.scheduling.tasks import Batch
from zimage_engine.types import ImageRequest, Plan, PlanResult, Queued, RawImage, Unit

GPU = "gpu"


class Bench:
    """A queue with a forecaster that is run by hand. ``told`` has each request's newest event."""

    def __init__(self, lock: object = None) -> None:
        self.scheduler = Scheduler()
        self.queue = RequestQueue(self.scheduler, {"model": QueueModel(pixels_per_token=1024)})
        self.queue.add_device(GPU, {"model": CostModel(budget=4 * 96)}, frozenset({"model"}), frozenset({"model"}))
        self.told: dict[str, Queued] = {}
        self.forecaster = Forecaster(lock or nullcontext(), self.queue, self.publish)  # type: ignore[arg-type]

    def publish(self, events: Published) -> None:
        self.told.update(events)  # type: ignore[arg-type]

    def submit(self, name: str, owner: int, *, steps: int = 4) -> None:
        side = 256 * (1 + owner % 2)
        self.queue.submit(ImageRequest(name, f"p {name}", side, side, steps, 0), owner=owner, group=owner % 3)

    def serve(self) -> tuple[Plan, float] | None:
        """Run one unit in the time that is predicted for it. Returns the plan and that time."""
        batch, plan = self.scheduler.next(GPU), self.queue.next(GPU)
        if batch is None or plan is None:
            return None
        seconds = self.scheduler.seconds(GPU, batch)
        names = list(plan.ids)
        images = dict.fromkeys(names, RawImage(1, 1, b"\0\0\0")) if plan.unit is Unit.DECODE else {}
        texts = dict.fromkeys(names, (20,)) if plan.unit is Unit.ENCODE_TEXT else {}
        self.queue.done(GPU, plan, PlanResult(seconds, images=images, caption_tokens=texts))
        return plan, seconds


def test_every_waiting_request_learns_its_position_and_when_it_ends() -> None:
    """With costs that are right the expected times are what then happens, to a few units."""
    bench = Bench()
    for number in range(24):
        bench.submit(f"{number}", number % 5)
    bench.serve()
    bench.forecaster.update()
    order = [task.id for task in bench.scheduler.in_order()]
    told = dict(bench.told)
    assert told.keys() == set(order) - {order[0]}, "the one that has begun is not waiting"
    assert all(order[event.position] == name for name, event in told.items())
    clock, ends = 0.0, dict[str, float]()
    while (served := bench.serve()) is not None:
        clock += served[1]
        if served[0].unit is Unit.DECODE:
            ends |= dict.fromkeys(served[0].ids, clock)
    for name, event in told.items():
        assert event.eta == pytest.approx(ends[name], rel=0.1, abs=0.2)


def test_only_what_has_changed_is_published_again() -> None:
    bench = Bench()
    for number in range(10):
        bench.submit(f"{number}", number)
    bench.forecaster.update()
    bench.told.clear()
    bench.forecaster.update()
    assert not bench.told
    bench.queue.cancel(next(iter(bench.scheduler.in_order())).id)
    bench.forecaster.update()
    assert len(bench.told) == 9


def test_a_request_that_has_begun_meanwhile_is_not_told_that_it_waits() -> None:
    bench = Bench()
    bench.submit("a", 1)
    bench.submit("b", 1)
    snapshot = bench.queue.snapshot(100)
    bench.serve()
    bench.queue.snapshot = lambda _: snapshot  # type: ignore[method-assign]
    bench.forecaster.update()
    assert bench.told.keys() == {"b"}


class TimedLock:
    """Measures for how much of its thread's time it was held at once, at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self._began = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.longest = max(self.longest, time.thread_time() - self._began)
        self._lock.release()


def test_a_thousand_are_told_and_the_lock_is_held_for_a_small_part_of_it() -> None:
    parts = []
    for _ in range(3):  # the garbage of all tests before may be collected in one of them
        lock = TimedLock()
        bench = Bench(lock)
        for number in range(1000):
            bench.submit(f"{number}", number % 100)
        began = time.thread_time()
        bench.forecaster.update()
        parts.append(lock.longest / (time.thread_time() - began))
    assert statistics.median(parts) < 1 / 3
    assert sorted(event.position for event in bench.told.values()) == list(range(1000))
    assert all(event.eta is not None for event in bench.told.values())


async def test_its_thread_ends_when_it_is_stopped() -> None:
    bench = Bench(threading.Lock())
    bench.submit("a", 1)
    before = threading.active_count()
    bench.forecaster.start()
    bench.forecaster.notify()
    await until(lambda: "a" in bench.told)
    bench.forecaster.stop()
    await until(lambda: threading.active_count() == before)


def test_expected_times_are_those_of_several_devices_side_by_side() -> None:
    """With costs that are right they are what then happens, apart from who comes to the slow device."""
    devices = SimulatedDevices(CostModel(base=0.05, linear=0.05 / 96), [1.0, 1.0, 3.0])
    for number in range(30):
        devices.ask(number % 5, number % 3, steps=4 + number % 3)
    for _ in range(5):
        devices.serve()
    snapshot = Snapshot.of(devices.scheduler, 100)
    order, ends, began = snapshot.names(), run_forward(snapshot.to_run()).ends, devices.clock
    assert set(order) == set(devices.scheduler.tasks)
    while devices.serve():
        pass
    took = {name: devices.ended[name] - began for name in order}
    errors = {name: abs(ends[name] - seconds) for name, seconds in took.items()}
    assert statistics.median(errors[name] / took[name] for name in order) < 0.1
    assert max(errors.values()) < 3.0, "as long as one more on the slow device takes"
    begun = sorted(order, key=devices.begun.__getitem__)
    assert all(abs(begun.index(name) - order.index(name)) <= 6 for name in order)


@pytest.mark.parametrize("seed", range(8))
def test_those_far_behind_are_expected_at_the_pace_of_all_devices(seed: int) -> None:
    """Half of the errors are below 10 %, nine of ten below 30 %.

    All are below 15 % and twice what a request in a full batch takes on the slowest device: the last ones may come
    there while the others have nothing to do any more.
    """
    random, count = Random(seed), (1, 3, 8, 20)[seed % 4]
    costs = CostModel(base=0.05, linear=0.05 / 96, budget=random.choice([0, 4 * 96, 8 * 96]))
    devices = SimulatedDevices(costs, [random.choice([1.0, 2.0, 3.0]) for _ in range(count)])
    for _ in range(300 + 10 * count):
        member = random.randrange(50)
        devices.ask(member, member % 5, steps=random.choice([4, 8, 12]), tokens=random.choice([96, 192]))
    for _ in range(4 * count):
        devices.serve()
    run = run_forward(Snapshot.of(devices.scheduler, 200).to_run())
    ends, began = expected_ends(Snapshot.of(devices.scheduler, 200)), devices.clock
    while devices.serve():
        pass
    far = [name for name in ends if name not in run.ends]
    assert len(far) > 150
    took = {name: devices.ended[name] - began for name in far}
    errors = {name: abs((ends[name] or 0.0) - seconds) for name, seconds in took.items()}
    parts = sorted(errors[name] / took[name] for name in far)
    assert (parts[len(parts) // 2] < 0.1, parts[9 * len(parts) // 10] < 0.3) == (True, True)
    longest = 3.0 * 12 * costs.step(192, max(1, costs.budget // 192))
    assert all(errors[name] < 0.15 * took[name] + 2 * longest for name in far)


def check_ends(devices: SimulatedDevices, expected: dict[str, float | None]) -> None:
    """Serve everything, and compare when it ends with what was expected."""
    while devices.serve():
        pass
    for name, end in expected.items():
        assert end == pytest.approx(devices.ended[name], rel=0.1, abs=1.0)


def only_own_models(devices: SimulatedDevices) -> None:
    for device in devices.scheduler.devices.values():
        device.allowed = device.models


def load_takes_hours(devices: SimulatedDevices) -> None:
    for device in devices.scheduler.devices.values():
        device.load_seconds = dict.fromkeys(device.allowed, 10_000.0)


def drain_the_first(devices: SimulatedDevices) -> None:
    devices.scheduler.devices["0"].drain()


def test_each_model_has_the_pace_of_the_devices_that_may_serve_it() -> None:
    devices = SimulatedDevices(CostModel(), [1.0, 1.0, 1.0], models=("turbo", "base", "base"))
    only_own_models(devices)
    for number in range(900):
        devices.ask(number % 30, model="base" if number % 3 else "turbo")
    lost = devices.ask("member", model="omni")
    ends = expected_ends(Snapshot.of(devices.scheduler, 100))
    assert ends.pop(lost.id) is None, "no device serves its model"
    check_ends(devices, ends)


@pytest.mark.parametrize("idle", [only_own_models, load_takes_hours, drain_the_first])
def test_a_device_that_has_nothing_to_do_changes_no_expected_time(idle: Callable[[SimulatedDevices], None]) -> None:
    devices = SimulatedDevices(CostModel(), [1.0, 1.0, 1.0], models=("turbo", "base", "base"))
    idle(devices)
    for number in range(900):
        devices.ask(number % 30, model="base")
    ends = expected_ends(Snapshot.of(devices.scheduler, 100))
    check_ends(devices, ends)


def test_the_pace_of_a_device_does_not_end_with_the_few_requests_of_another() -> None:
    devices = SimulatedDevices(CostModel(budget=8 * 96), [1.0, 1.0], models=("turbo", "base"))
    only_own_models(devices)
    devices.ask("member", model="turbo", steps=1)
    for number in range(900):
        devices.ask(number % 30, model="base")
    ends = expected_ends(Snapshot.of(devices.scheduler, 100))
    check_ends(devices, ends)


def test_devices_that_encode_the_texts_of_all_that_they_have_begun_are_expected_to_go_on() -> None:
    """Units are launched one ahead, so a device can have begun as much as it may before it knows a single key."""
    devices = SimulatedDevices(CostModel(), [1.0, 1.0])
    asked = [devices.ask(number % 30) for number in range(900)]
    for number, task in enumerate(asked[:4]):
        devices.scheduler.served(str(number % 2), Batch(Unit.ENCODE_TEXT, (task,)))
    ends = expected_ends(Snapshot.of(devices.scheduler, 100))
    for task in asked[:4]:
        devices.scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
    check_ends(devices, ends)


def test_a_forecast_counts_the_seconds_of_loading_a_model() -> None:
    devices = SimulatedDevices(CostModel(), [1.0], models=("turbo", "base"), load_seconds=30.0)
    devices.ask("member", model="turbo")
    other = devices.ask("other", model="base")
    ends = run_forward(Snapshot.of(devices.scheduler, 100).to_run()).ends
    assert 30.0 < ends[other.id] < 33.0
    assert devices.scheduler.devices["0"].models == {"turbo"}, "only the copy has loaded it"
