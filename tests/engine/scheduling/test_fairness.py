"""Nobody can starve another or take another's part: an open population, many accounts, groups. No torch, no threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.fairness_bound import EVENTS, Bound
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler, share_of
from zimage_engine.scheduling.shares import Share
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Unit

GPU = "gpu"
BURST = 1.0
STRETCH = 3.0
LONGEST_UNIT = 1.2


@dataclass
class Device:
    """A scheduler on a clock of its own. A step of 96 tokens takes 0.1 s, and 0.05 s more for every further 96."""

    budget: int = 0
    clock: float = 0.0
    served: dict[object, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.costs = CostModel(base=0.05, linear=0.05 / 96, budget=self.budget)
        self.scheduler = Scheduler(BURST)
        self.scheduler.add_device(GPU, {"": self.costs})
        self._names = itertools.count()

    def ask(
        self,
        owner: object,
        group: object = None,
        *,
        steps: int = 8,
        shape: int = 96,
        weight: float = 1.0,
        group_weight: float = 1.0,
    ) -> Task:
        """Add a task of 0.12 s and its steps."""
        task = Task(
            f"{next(self._names)}",
            owner,
            (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * steps, Unit.DECODE),
            {Unit.ENCODE_TEXT: 0.02, Unit.DENOISE: self.costs.step(shape), Unit.DECODE: 0.1},
            shape=shape,
            tokens=shape,
            weight=weight,
            group=group,
            group_weight=group_weight,
        )
        self.scheduler.add(task)
        return task

    def serve(self) -> Batch:
        batch = self.scheduler.next(GPU)
        assert batch is not None
        self.clock += self.scheduler.seconds(GPU, batch)
        self.scheduler.served(GPU, batch)
        for task in batch.tasks:
            self.served[task.owner] = self.served.get(task.owner, 0.0) + task.costs[batch.unit]
            self.encoded(task)
            if task.done == len(task.units):
                self.ended[task.id] = self.clock
        return batch

    def encoded(self, task: Task) -> None:
        if task.key is None:
            self.scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])

    def waiting(self, owner: object) -> int:
        return sum(task.owner == owner for task in self.scheduler.tasks.values())

    def run(self, until: Callable[[], bool], feed: Callable[[], None], limit: float = 1000.0) -> float:
        """Serve with ``feed`` before each unit. Returns the seconds that it took."""
        began = self.clock
        while not until():
            feed()
            self.serve()
            assert self.clock - began < limit, "starved"
        return self.clock - began


def fresh_owners(device: Device, at_once: int = 1, group: object = None) -> Callable[[], None]:
    """Return a feed that keeps tasks of 0.92 s waiting, each of an owner who was never seen before."""
    numbers = itertools.count()

    def feed() -> None:
        while sum(str(task.owner).startswith("fresh") for task in device.scheduler.tasks.values()) < at_once:
            device.ask(f"fresh {next(numbers)}", group)

    return feed


@pytest.mark.parametrize(("at_once", "limit"), [(1, 65.0), (3, 125.0)])
def test_strangers_who_keep_coming_cannot_starve_a_long_request(at_once: int, limit: float) -> None:
    """12 s of work among fresh owners at full load: fair sharing takes 24 s with one at a time, 48 s with three."""
    device = Device()
    long = device.ask("long", steps=119)
    assert device.run(lambda: long.id in device.ended, fresh_owners(device, at_once)) < limit


def test_a_member_gets_half_of_a_fair_part_among_strangers_who_keep_coming() -> None:
    device = Device()
    feed = fresh_owners(device)

    def both() -> None:
        feed()
        if not device.waiting("member"):
            device.ask("member", steps=20)

    seconds = device.run(lambda: device.clock > 400, both)
    assert device.served["member"] >= 0.24 * seconds


def test_an_owner_s_small_requests_do_not_starve_their_large_one() -> None:
    device = Device()
    large = device.ask("member", steps=50)
    while large.id not in device.ended:
        if device.waiting("member") < 3:
            device.ask("member", steps=1)
        device.serve()
        assert device.clock < 20


def test_strangers_in_another_server_cannot_starve_one() -> None:
    device = Device()
    numbers = itertools.count()
    long = device.ask("long", "server", steps=119)

    def feed() -> None:
        if len(device.scheduler.tasks) < 2:
            device.ask("stranger", f"fresh server {next(numbers)}")

    assert device.run(lambda: long.id in device.ended, feed) < 65.0


def test_what_is_remembered_stays_small_however_many_come() -> None:
    """Also with somebody always waiting, and whatever the strangers ask for."""
    device = Device()
    numbers = itertools.count()
    most = came = 0

    def feed() -> None:
        nonlocal most, came
        if not device.waiting("member"):
            device.ask("member", steps=20)
        while len(device.scheduler.tasks) < 4:
            came = number = next(numbers)
            device.ask(f"fresh {number}", number % 2 and f"server {number}", steps=1 + number % 30)
        most = max(most, remembered(device.scheduler.root))

    device.run(lambda: came > 1000, feed, limit=10_000)
    assert most < 150


def remembered(share: Share) -> int:
    return 1 + sum(remembered(child) for child in share.children.values())


@pytest.mark.parametrize("accounts", [1, 2, 4])
def test_accounts_of_one_person_take_no_more_than_their_server_s_part(accounts: int) -> None:
    """Against one member of another server, everybody with requests waiting all the time."""
    device = Device()

    def feed() -> None:
        for account in range(accounts):
            if not device.waiting(f"account {account}"):
                device.ask(f"account {account}", "theirs")
        if not device.waiting("member"):
            device.ask("member", "other")

    seconds = device.run(lambda: device.clock > 300, feed)
    assert device.served["member"] == pytest.approx(seconds / 2, rel=0.02)


@pytest.mark.parametrize(("floods", "limit"), [(1, 2.0), (2, 1.1), (3, 1.1)])
def test_an_owner_who_comes_back_goes_ahead_of_those_who_ask_without_end(floods: int, limit: float) -> None:
    """They ask for less than their part: 0.92 s every 5 s. Fair sharing alone would take 0.92 s for each owner."""
    device = Device()
    asked: dict[str, float] = {}

    def feed() -> None:
        for flood in range(floods):
            if not device.waiting(flood):
                device.ask(flood)
        if device.clock > 5 * (1 + len(asked)):
            asked[device.ask("returning").id] = 5.0 * (1 + len(asked))

    device.run(lambda: len(asked) > 40, feed)
    assert max(device.ended[name] - at for name, at in asked.items() if name in device.ended) <= limit


@settings(max_examples=50)  # one takes a tenth of a second
@given(EVENTS, EVENTS, st.integers(1, 30), st.sampled_from([1.0, 2.0, 0.5]), st.sampled_from([0, 400, 2000]))
def test_every_task_ends_within_the_bound(
    before: list[tuple[str, int, int, int]],
    after: list[tuple[str, int, int, int]],
    steps: int,
    weight: float,
    budget: int,
) -> None:
    """The bound at the top of ``scheduler.py``, for an owner who asks for nothing more, while others come and go."""
    device = Device(budget)
    strangers = itertools.count()

    def happen(event: tuple[str, int, int, int]) -> Batch | None:
        kind, number, count, shape = event
        others = [task for task in device.scheduler.tasks.values() if task.owner != "asked"]
        if kind == "cancel" and others:
            device.scheduler.remove(others[number % len(others)].id)
        elif kind == "serve" and device.scheduler.tasks:
            return device.serve()
        elif kind == "member":
            device.ask(number, number % 3, steps=count, shape=shape, weight=1 + number / 4)
        elif kind == "fresh":
            device.ask(f"fresh {next(strangers)}", number % 3, steps=count, shape=shape)
        elif kind == "fresh server":
            device.ask("stranger", f"fresh {next(strangers)}", steps=count, shape=shape)
        return None

    for event in before:
        happen(event)
    asked = device.ask("asked", 0, steps=steps, weight=weight)
    owner = share_of(asked)
    group = owner.parent
    assert group is not None
    bound = Bound(owner, BURST), Bound(group, BURST)
    ridden, began = 0.0, device.clock
    # Then a stranger asks before every unit for as long as few are waiting.
    endless = itertools.chain(after, itertools.cycle([("fresh", 0, 4, 96), ("serve", 0, 0, 0), ("serve", 0, 0, 0)]))
    for event in endless:
        if asked.id not in device.scheduler.tasks:
            break
        if event[0] in {"fresh", "member"} and len(device.scheduler.tasks) > 30:
            continue
        for level in bound:
            level.look()
        batch = happen(event)
        if batch is not None:
            riders = batch.tasks if batch.ahead_for else batch.tasks[1:]
            ridden += sum(task.costs[batch.unit] for task in riders if task.group == 0 and task is not asked)
    in_group = bound[0].work(sum(asked.costs[unit] for unit in asked.units))
    in_all = bound[1].work(in_group + ridden)
    assert device.clock - began <= STRETCH * in_all + LONGEST_UNIT


@given(
    EVENTS, st.integers(1, 2), st.sampled_from([slice(None), slice(None, None, -1)]), st.sampled_from([0, 400, 2000])
)
def test_taking_back_what_was_served_restores_everything(
    events: list[tuple[str, int, int, int]], units: int, order: slice, budget: int
) -> None:
    """One unit or two in a row, in either order: tags to the bit, order, virtual times of those who wait."""
    device = Device(budget)
    for kind, number, count, shape in events:
        if kind == "serve" and device.scheduler.tasks:
            device.serve()
        else:
            device.ask(number, number % 3, steps=count % 3 + 1, shape=shape, weight=1 + number / 4)
    scheduler = device.scheduler
    before = state(scheduler)
    launched = []
    for _ in range(units):
        batch = scheduler.next(GPU)
        if batch is None:
            break
        scheduler.served(GPU, batch)
        launched.append(batch)
    for batch in launched[order]:
        scheduler.undo(GPU, batch)
    assert state(scheduler) == before
    for task in scheduler.tasks.values():  # and whatever the same owner asks for next belongs to the same share
        group = scheduler.root.children[task.group]
        assert group.children[task.owner] is share_of(task)


def state(scheduler: Scheduler) -> list[object]:
    order = scheduler.copy_order()
    tags = {task.id: tag for group in scheduler.root.active for tag, _, task in order.tagged(group)}
    tags_in_group = {
        task.id: tag
        for group in scheduler.root.active
        for owner in group.active
        for tag, _, task in order.tagged(owner)
    }
    return [
        (task.id, task.done, task.remaining, task.encode_ahead, tags[task.id], tags_in_group[task.id])
        for task in scheduler.in_order()
    ]


def test_a_task_whose_last_unit_failed_begins_again_in_its_place() -> None:
    device = Device()
    first, second = device.ask("a", steps=1), device.ask("b", steps=1)
    for _ in range(3):
        device.serve()
    assert first.id not in device.scheduler.tasks
    device.scheduler.restart(first)
    assert [task.id for task in device.scheduler.in_order()] == [second.id, first.id]
    assert (first.done, first.key) == (0, None)
    device.run(lambda: not device.scheduler.tasks, lambda: None)


def test_a_step_waits_for_its_key_and_others_go_on_meanwhile() -> None:
    device = Device()
    first, second = device.ask("a"), device.ask("b")
    batch = device.scheduler.next(GPU)
    assert batch is not None
    assert batch.tasks == (first,)
    device.scheduler.served(GPU, batch)
    batch = device.scheduler.next(GPU)
    assert batch is not None
    assert batch.tasks == (second,)
    device.scheduler.served(GPU, batch)
    assert device.scheduler.next(GPU) is None
    device.encoded(first)
    batch = device.scheduler.next(GPU)
    assert batch == Batch(Unit.DENOISE, (first,))


def test_an_owner_in_two_groups_has_a_share_in_each() -> None:
    """What a member was served in one server does not count in another."""
    device = Device()
    device.ask("somebody else", "one", steps=100)
    for _ in range(5):
        device.ask("member", "one")
    device.run(lambda: device.served.get("member", 0.0) > 3, lambda: None)
    known, new = device.ask("member", "two"), device.ask("neighbour", "two")
    assert [task for task in device.scheduler.in_order() if task.group == "two"] == [known, new]
    late, later = device.ask("member", "one"), device.ask("neighbour", "one")
    assert [task for task in device.scheduler.in_order() if task in {late, later}] == [later, late]


def test_groups_are_served_by_their_weights() -> None:
    device = Device()

    def feed() -> None:
        for group, weight in (("heavy", 3.0), ("light", 1.0)):
            while device.waiting(group) < 2:
                device.ask(group, group, group_weight=weight)

    seconds = device.run(lambda: device.clock > 200, feed)
    assert device.served["heavy"] == pytest.approx(0.75 * seconds, rel=0.05)
