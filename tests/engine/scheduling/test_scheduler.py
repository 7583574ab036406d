"""Virtual finish on a simulated clock: fairness, bounds, batches. No torch, no threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Unit

BURST = 1.0
GPU = "gpu"


def task(
    name: str,
    owner: object,
    *,
    step: float = 0.1,
    steps: int = 8,
    weight: float = 1.0,
    shape: int = 96,
    group: object = None,
    group_weight: float = 1.0,
) -> Task:
    units = (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * steps, Unit.DECODE)
    costs = {Unit.ENCODE_TEXT: 0.02, Unit.DENOISE: step, Unit.DECODE: 0.1}
    return Task(
        name, owner, units, costs, shape=shape, tokens=shape, weight=weight, group=group, group_weight=group_weight
    )


def scheduler_of(budget: int = 0) -> Scheduler:
    """Return a scheduler in which a forward takes 0.1 s for 96 tokens, and 0.05 s for every 96 more."""
    scheduler = Scheduler(BURST)
    scheduler.add_device(GPU, {"": CostModel(base=0.05, linear=0.05 / 96, budget=budget)})
    return scheduler


def serve(scheduler: Scheduler, name: str = GPU) -> tuple[Batch, float]:
    batch = scheduler.next(name)
    assert batch is not None
    seconds = scheduler.seconds(name, batch)
    scheduler.served(name, batch)
    for each in batch.tasks:
        if each.key is None:
            scheduler.set_key(each, each.shape, each.tokens, each.costs[Unit.DENOISE])
    return batch, seconds


def tags(scheduler: Scheduler) -> dict[str, tuple[float, float]]:
    """Return each task's tag among the groups and its tag among the owners of its group."""
    found = {}
    order = scheduler.copy_order()
    for group in scheduler.root.active:
        owners = {each.id: tag for owner in group.active for tag, _, each in order.tagged(owner)}
        found |= {each.id: (tag, owners[each.id]) for tag, _, each in order.tagged(group)}
    return found


def meters(scheduler: Scheduler) -> dict[tuple[object, object], float]:
    """Return the meters of the groups, as those of owner None, and of their owners."""
    groups = scheduler.root.children
    of_groups = {(name, None): group.meter for name, group in groups.items()}
    of_owners = {
        (name, owner): share.meter for name, group in groups.items() for owner, share in group.children.items()
    }
    return {**of_groups, **of_owners}


def run_until(scheduler: Scheduler, stop: Callable[[], bool]) -> float:
    clock = 0.0
    while not stop():
        clock += serve(scheduler)[1]
    return clock


TASKS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 9), st.sampled_from([96, 288]), st.integers(0, 12)),
    min_size=1,
    max_size=25,
)


@given(TASKS, st.sampled_from([0, 400, 2000]))
def test_the_invariants_hold_after_every_unit(arrivals: list[tuple[int, int, int, int]], budget: int) -> None:
    """A served leader keeps its tags to the bit, meters never fall, and there is no idling while there is work."""
    scheduler = scheduler_of(budget)
    waiting = [(task(f"{i}", owner, steps=steps, shape=shape, group=owner % 2, weight=1 + owner / 3), when)
               for i, (owner, steps, shape, when) in enumerate(arrivals)]  # fmt: skip
    units = 0
    while waiting or scheduler.tasks:
        for each, _ in [pair for pair in waiting if pair[1] <= units or not scheduler.tasks]:
            scheduler.add(each)
        waiting = [pair for pair in waiting if pair[0].sequence == 0]
        before, old = tags(scheduler), meters(scheduler)
        batch, _ = serve(scheduler)
        after, new = tags(scheduler), meters(scheduler)
        leader = batch.tasks[0]
        if leader.id in after and not batch.ahead_for:
            alone = {each.group for each in batch.tasks[1:]}.isdisjoint({leader.group})
            assert not alone or after[leader.id] == before[leader.id]
        assert all(new[name] >= old[name] for name in old.keys() & new.keys())
        units += 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 11), st.integers(1, 30))
def test_removing_a_task_changes_nothing_but_its_owner_s_place(owners: list[int], which: int, units: int) -> None:
    """The others' work and order do not change, and the meters keep the work that was done."""
    scheduler = scheduler_of()
    for i, owner in enumerate(owners):
        scheduler.add(task(f"{i}", owner))
    for _ in range(units):
        if scheduler.tasks:
            serve(scheduler)
    victim = scheduler.tasks.get(str(which % len(owners)))
    if victim is None:
        return
    others = {each.id: (each.done, each.remaining) for each in scheduler.tasks.values() if each is not victim}
    old = meters(scheduler)
    order = [each.id for each in scheduler.in_order() if each is not victim and each.owner != victim.owner]
    scheduler.remove(victim.id)
    assert {each.id: (each.done, each.remaining) for each in scheduler.tasks.values()} == others
    assert [each.id for each in scheduler.in_order() if each.owner != victim.owner] == order
    if scheduler.tasks:
        assert meters(scheduler) == old


def test_equal_tags_are_served_in_order_of_arrival() -> None:
    scheduler = scheduler_of()
    for i in range(6):
        scheduler.add(task(f"{i}", owner=i))
    assert [each.id for each in scheduler.in_order()] == [f"{i}" for i in range(6)]


@pytest.mark.parametrize("budget", [0, 4 * 96])
def test_shares_converge_to_the_weights(budget: int) -> None:
    """With endless backlogs of one key, owners of weight 1, 2 and 3 are served 1 : 2 : 3."""
    scheduler, served, count = scheduler_of(budget), {1: 0.0, 2: 0.0, 3: 0.0}, 0
    for _ in range(4000):
        for owner in served:
            for _ in range(6 - sum(each.owner == owner for each in scheduler.tasks.values())):
                scheduler.add(task(f"{count}", owner, weight=owner, steps=4))
                count += 1
        batch, _ = serve(scheduler)
        for each in batch.tasks:
            served[each.owner] += each.costs[batch.unit]  # type: ignore[index]
    total = sum(served.values())
    for owner, work in served.items():
        assert math.isclose(work / total, owner / 6, rel_tol=0.1)


def test_a_newcomer_does_not_wait_for_another_s_forty() -> None:
    """Behind forty tasks of another owner a task takes at most twice as long as alone."""
    alone = scheduler_of()
    alone.add(task("a", 1))
    expected = run_until(alone, lambda: not alone.tasks)
    scheduler = scheduler_of()
    for i in range(40):
        scheduler.add(task(f"{i}", 1))
    for _ in range(25):
        serve(scheduler)
    scheduler.add(task("mine", 2))
    assert run_until(scheduler, lambda: "mine" not in scheduler.tasks) <= 2 * expected


def test_an_owner_who_comes_back_does_not_pay_for_earlier_work() -> None:
    scheduler = scheduler_of()
    for i in range(30):
        scheduler.add(task(f"{i}", 1))
    run_until(scheduler, lambda: not scheduler.tasks)
    scheduler.add(task("new", 2))
    scheduler.add(task("old", 1))
    done = run_until(scheduler, lambda: "old" not in scheduler.tasks)
    assert done <= 2.1


def test_a_device_does_not_begin_everything_because_what_waits_seems_to_take_less() -> None:
    """Captions turn out longer than they were estimated: each waiting request then leads those that are begun."""
    scheduler = Scheduler(BURST)
    for name in ("one", "other"):
        scheduler.add_device(name, {"": CostModel()})
    for number in range(20):
        scheduler.add(task(f"{number}", owner=number))
    ended = dict.fromkeys(scheduler.devices, 0)
    while scheduler.tasks:
        for name, device in scheduler.devices.items():
            if (batch := scheduler.next(name)) is None:
                continue
            scheduler.served(name, batch)
            assert len(device.pinned.tasks) <= 2
            ended[name] += batch.tasks[0].id not in scheduler.tasks
            if batch.unit is Unit.ENCODE_TEXT:
                scheduler.set_key(batch.tasks[0], "key", 192, 0.2)
    assert ended == {"one": 10, "other": 10}


def test_positions_are_exact_for_the_first_five_hundred() -> None:
    scheduler = scheduler_of()
    for number in range(600):
        scheduler.add(task(f"{number}", owner=number % 7))
    for number, each in enumerate(scheduler.in_order()):
        assert scheduler.position(each) == (number if number < 500 else 599)


def test_planning_with_a_thousand_waiting_is_quick() -> None:
    assert planning_time(1000, 100) < 0.005  # the benchmark holds it to 1 ms; machines that run tests are busy


def test_planning_takes_no_longer_with_a_hundred_times_as_many_waiting() -> None:
    """10,000 requests of 1,000 owners against 100 of 10: the benchmark holds it to twice the time."""
    for _ in range(3):
        if planning_time(10_000, 1000) < 2.5 * planning_time(100, 10):
            return
    raise AssertionError("planning slows down with the number of requests")


def test_planning_for_64_devices_takes_no_longer_than_for_one() -> None:
    """10,000 requests of 1,000 owners on 64 devices against 100 of 10 on one: at most twice, as medians."""
    one, many = planned(100, 10), planned(10_000, 1000, devices=64)
    ratio = min(next_time(many) / next_time(one) for _ in range(3))
    assert ratio < 2.0


def planned(tasks: int, owners: int, devices: int = 1) -> Scheduler:
    """Return a scheduler with so many tasks in ten groups, and with all of its devices at work."""
    scheduler = Scheduler(BURST)
    for number in range(devices):
        costs = CostModel(base=0.05, linear=0.05 / 96, budget=8 * 96)
        scheduler.add_device(GPU if devices == 1 else f"{GPU} {number}", {"": costs})
    for i in range(tasks):
        scheduler.add(task(f"{i}", i % owners, group=i % 10, shape=96 * (1 + i % 3)))
    for _ in range(3):
        for name in scheduler.devices:
            serve(scheduler, name)
    return scheduler


def next_time(scheduler: Scheduler) -> float:
    """Return the median seconds of ``next`` of one device after the other, with a unit served after each."""
    times = []
    for name in (list(scheduler.devices) * 64)[:64]:
        began = time.thread_time()
        scheduler.next(name)
        times.append(time.thread_time() - began)
        serve(scheduler, name)
    return sorted(times)[32]


def planning_time(tasks: int, owners: int) -> float:
    """Return the median seconds of ``next`` and ``served`` with so many tasks, in ten groups."""
    scheduler = scheduler_of(budget=8 * 96)
    for i in range(tasks):
        scheduler.add(task(f"{i}", i % owners, group=i % 10, shape=96 * (1 + i % 3)))
    times = []
    for _ in range(60):
        began = time.thread_time()
        serve(scheduler)
        times.append(time.thread_time() - began)
    return sorted(times)[30]
