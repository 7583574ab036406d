"""Several devices are shared as fairly as one. No torch, no threads."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.several_devices import saturated
from benchmarks.simulated_devices import SimulatedDevices
from tests.helpers.fairness_bound import EVENTS, Bound
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import share_of
from zimage_engine.scheduling.tasks import Batch
from zimage_engine.types import Unit

BURST = 1.0
STRETCH = 3.0
LONGEST_UNIT = 1.2


def devices_of(*paces: float, budget: int = 0) -> SimulatedDevices:
    """A step of 96 tokens takes 0.1 s, and 0.05 s more for every further 96, on a device of pace 1."""
    return SimulatedDevices(CostModel(base=0.05, linear=0.05 / 96, budget=budget), paces, BURST)


@settings(max_examples=20)
@given(
    EVENTS,
    EVENTS,
    st.integers(1, 30),
    st.sampled_from([0, 400, 2000]),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=1, max_size=5),
)
def test_every_task_begins_and_ends_within_the_bound(
    before: list[tuple[str, int, int, int]],
    after: list[tuple[str, int, int, int]],
    steps: int,
    budget: int,
    paces: list[float],
) -> None:
    """The bound at the top of ``scheduler.py``, for an owner who asks for nothing more, while others come and go."""
    devices = devices_of(*paces, budget=budget)
    scheduler = devices.scheduler
    strangers = itertools.count()

    def happen(event: tuple[str, int, int, int]) -> list[tuple[str, Batch]]:
        kind, number, count, shape = event
        others = [task for task in scheduler.tasks.values() if task.owner != "asked"]
        launched: list[tuple[str, Batch]] = []
        if kind == "cancel" and others:
            scheduler.remove(others[number % len(others)].id)
        elif kind == "serve":
            launched = devices.launch()
            devices.finish()
        elif kind == "member":
            devices.ask(number, number % 3, steps=count, tokens=shape, weight=1 + number / 4)
        elif kind == "fresh":
            devices.ask(f"fresh {next(strangers)}", number % 3, steps=count, tokens=shape)
        elif kind == "fresh server":
            devices.ask("stranger", f"fresh {next(strangers)}", steps=count, tokens=shape)
        return launched

    for event in before:
        happen(event)
    asked = devices.ask("asked", 0, steps=steps)
    owner = share_of(asked)
    group = owner.parent
    assert group is not None
    bound = Bound(owner, BURST), Bound(group, BURST)
    ridden, booked, asked_at = 0.0, group.booked, devices.clock
    endless = itertools.chain(after, itertools.cycle([("fresh", 0, 4, 96), ("serve", 0, 0, 0), ("serve", 0, 0, 0)]))
    for event in endless:
        if asked.id in devices.ended:
            break
        if event[0] in {"fresh", "member"} and len(scheduler.tasks) > 30:
            continue
        for level in bound:
            level.look()
        for _, batch in happen(event):
            riders = batch.tasks if batch.ahead_for else batch.tasks[1:]
            ridden += sum(task.costs[batch.unit] for task in riders if task.group == 0 and task is not asked)
        booked = max(booked, group.booked)
    in_group = bound[0].work(sum(asked.costs[unit] for unit in asked.units))
    in_all = bound[1].work(in_group + ridden + booked)
    longest = LONGEST_UNIT * max(paces)
    assert devices.begun[asked.id] - asked_at <= STRETCH * in_all / sum(1 / pace for pace in paces) + longest
    assert devices.ended[asked.id] - asked_at <= STRETCH * in_all * max(paces) + 2 * longest


@pytest.mark.parametrize("paces", [(1.0, 1.0), (1.0, 1.0, 4.0), (1.0,) * 8])
def test_owners_who_always_wait_get_equal_work_whatever_the_devices(paces: tuple[float, ...]) -> None:
    devices = devices_of(*paces)
    while devices.clock < 60:
        for owner in range(4):
            while sum(task.owner == owner for task in devices.scheduler.tasks.values()) < 2 * len(paces):
                devices.ask(owner, steps=2 + 3 * owner)
        devices.serve()
    fair = sum(devices.served.values()) / 4
    assert fair > 60 * 0.9 * sum(1 / pace for pace in paces) / 4
    for work in devices.served.values():
        assert work == pytest.approx(fair, rel=0.08)


@pytest.mark.parametrize("paces", [(1.0,) * 8, (1.0, 3.0) * 4])
def test_devices_that_are_never_out_of_work_are_as_fast_as_all_of_them(paces: tuple[float, ...]) -> None:
    """The benchmark of which ``docs/engine.md`` shows the figures goes up to 64."""
    alone, together = saturated([1.0], 8), saturated(paces, 8)
    assert together.speed >= 0.95 * together.possible * alone.speed


def test_a_newcomer_takes_one_device_and_not_all_of_them() -> None:
    """Sixteen requests at once are no more ahead than one: a request that was begun is not stopped for each."""
    devices = devices_of(*(1.0,) * 8)
    for _ in range(40):
        devices.ask("flood", steps=40)
    for _ in range(100):
        devices.serve()
    for _ in range(16):
        devices.ask("newcomer", steps=40)
    for _ in range(8):
        devices.serve()
    begun = [task for task in devices.scheduler.tasks.values() if task.owner == "newcomer" and task.started]
    assert 1 <= len(begun) <= 2


def test_a_short_request_begins_beside_long_ones_although_each_device_has_begun_enough() -> None:
    """Two requests of 30 s are in work on each device, and more of them wait."""
    devices = devices_of(1.0, 1.0)
    for _ in range(40):
        devices.ask("flood", steps=300)
    for name in devices.scheduler.devices:
        for _ in range(2):  # as when their texts are encoded ahead of the first step
            task = next(task for task in devices.scheduler.in_order() if not task.started)
            devices.scheduler.served(name, Batch(task.unit, (task,)))
            devices.scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
    for _ in range(20):
        devices.serve()
    for owner in range(5):
        devices.ask(f"medium {owner}", steps=150)
    devices.serve()
    assert not any(task.started for task in devices.scheduler.tasks.values() if str(task.owner).startswith("medium"))
    short = [devices.ask(f"short {owner}", steps=6) for owner in range(6)]
    asked_at = devices.clock
    for _ in range(2):
        devices.serve()
    assert sum(task.started for task in short) == 2, "one on each device: what has begun cannot move"
    tiny = devices.ask("tiny", steps=1, seconds={Unit.ENCODE_TEXT: 0.001, Unit.DECODE: 0.001})
    devices.serve()
    assert not tiny.started, "however short it is beside that one"
    while not all(task.id in devices.ended for task in short):
        devices.serve()
    assert devices.clock - asked_at < 6 * 0.8 / 2 + 1


def test_a_server_whose_requests_are_all_begun_is_still_there() -> None:
    """Its meter and the virtual time are not set back while nothing of it waits."""
    devices = devices_of(1.0, 1.0)
    only = devices.ask("member", "server", steps=50)
    devices.launch()
    group = share_of(only).parent
    assert group in devices.scheduler.root.active
    before = devices.scheduler.root.virtual
    devices.ask("other", "other server")
    while devices.clock < 2:
        devices.serve()
    assert devices.scheduler.root.virtual >= before
    assert devices.scheduler.root.children["server"] is group
    assert group is not None
    assert group.work + group.booked == pytest.approx(sum(only.costs[unit] for unit in only.units), abs=BURST)
