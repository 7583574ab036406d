"""One queue for several unequal devices: nobody idles, nothing is lost or doubled, what was served stays charged."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.pipelined_worker import PipelinedWorker, answer, ask, must
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.request_states import Published
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Cancelled, Failed, Finished, Unit

PACES = {"fast": 1.0, "slow": 3.0, "slowest": 20.0}


def costs_of(pace: float, budget: int = 0) -> CostModel:
    return CostModel(base=0.01 * pace, linear=1e-4 * pace, encode_text=0.015 * pace, pixel=1.5e-6 * pace, budget=budget)


@dataclass
class Fleet:
    """A queue with devices of different speeds. ``paid`` is what each request was charged, as the queue charges it."""

    budget: int = 0
    names: tuple[str, ...] = tuple(PACES)
    models: tuple[str, ...] = ("model",)
    live: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    count: int = 0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler()
        base = ask("base")
        self.queue = RequestQueue(self.scheduler, {name: QueueModel(1024, base=base) for name in self.models})
        self.workers = {name: self.worker(name) for name in self.names}

    def worker(self, name: str) -> PipelinedWorker:
        return PipelinedWorker(self.queue, name, costs_of(PACES[name], self.budget), self.ended, self.models)

    def submit(self, number: int) -> None:
        name = f"r{self.count}"
        self.count += 1
        self.live.append(name)
        model = self.models[number % len(self.models)]
        request = ask(name, steps=1 + number % 4, side=256 * (1 + number // 2 % 2), model=model)
        self.note(self.queue.submit(request, owner=number % 5, group=number % 3))

    def note(self, events: Published) -> None:
        for name, event in events:
            if isinstance(event, Finished | Failed | Cancelled):
                self.live.remove(name)
                assert name not in self.ended
                self.ended.add(name)

    def happen(self, operation: str, worker: PipelinedWorker, number: int) -> None:
        if operation == "submit":
            self.submit(number)
        elif operation == "cancel" and self.live:
            self.note(self.queue.cancel(self.live[number % len(self.live)]))
        elif operation == "drain":
            self.queue.drain_device(worker.device)
        elif operation == "come back":
            self.note(worker.lose())
        elif operation == "ahead":
            worker.launch(ahead=True)
        elif operation == "launch":
            worker.launch(ahead=False)
        elif worker.plans or worker.launch(ahead=False):
            self.note(worker.finish(operation))

    def run(self) -> None:
        """Serve everything that is left."""
        while [worker for worker in self.workers.values() if worker.plans or worker.launch(ahead=False)]:
            for worker in self.workers.values():
                worker.launch(ahead=True)
                if worker.plans:
                    self.note(worker.finish("run"))


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["submit"] * 3 + ["cancel", "run", "run", "launch", "ahead", "fail", "memory", "lose", "come back", "drain"]
        ),
        st.sampled_from(list(PACES)),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(OPERATIONS, st.sampled_from([0, 200, 1000]), st.sampled_from([("model",), ("turbo", "base")]))
def test_every_request_ends_exactly_once_whatever_happens_to_the_devices(
    operations: list[tuple[str, str, int]], budget: int, models: tuple[str, ...]
) -> None:
    fleet = Fleet(budget, models=models)
    for operation, name, number in operations:
        fleet.happen(operation, fleet.workers[name], number)
        consistent(fleet)
    for worker in fleet.workers.values():
        if fleet.scheduler.devices[worker.device].draining:
            fleet.note(worker.lose())
    fleet.run()
    assert not fleet.live
    assert len(fleet.ended) == fleet.count
    assert (fleet.queue.waiting, fleet.queue.running) == (0, 0)
    for worker in fleet.workers.values():
        assert not worker.held, "the device was told of each that ended"
        assert fleet.queue.is_drained(worker.device)


def consistent(fleet: Fleet) -> None:
    """What is booked is what remains of the pinned tasks, in every share, and each task is in one place."""
    scheduler = fleet.scheduler
    booked: defaultdict[object, float] = defaultdict(float)
    for device in scheduler.devices.values():
        for task in device.pinned.tasks.values():
            assert scheduler.tasks[task.id] is task
            owner = task.share
            assert owner is not None
            booked[owner] += task.remaining
            booked[owner.parent] += task.remaining
    for group in scheduler.root.active:
        assert group.booked == booked[group]
        assert all(owner.booked == booked[owner] for owner in group.active)
    assert sorted(task.id for task in scheduler.in_order()) == sorted(scheduler.tasks)


@given(OPERATIONS, st.sampled_from([0, 1000]), st.sampled_from([("model",), ("turbo", "base")]))
def test_no_device_idles_while_a_request_that_it_may_serve_waits(
    operations: list[tuple[str, str, int]], budget: int, models: tuple[str, ...]
) -> None:
    """That is one of the model that it holds, or of one that no device has."""
    fleet = Fleet(budget, models=models)
    for operation, name, number in operations:
        fleet.happen(operation, fleet.workers[name], number)
        for worker in fleet.workers.values():
            device = fleet.scheduler.devices[worker.device]
            had = {name for each in fleet.scheduler.devices.values() for name in fleet.models if each.has(name)}
            waits = any(
                task.pinned is None and (task.model in device.models or task.model not in had)
                for task in fleet.scheduler.tasks.values()
            )
            if waits and not worker.plans and not device.draining:
                assert worker.launch(ahead=False)


def test_a_request_does_not_ride_with_another_while_a_device_has_nothing_to_do() -> None:
    fleet = Fleet(budget=1000, names=("fast", "slow"))
    queue = fleet.queue
    assert queue.next("fast") is None
    assert queue.next("slow") is None
    for name in "ab":
        queue.submit(ask(name), owner=name)
    encode = must(queue.next("fast"))
    queue.done("fast", encode, answer(encode))
    step = must(queue.next("fast"))
    assert (step.unit, step.ids) == (Unit.DENOISE, ("a",))
    assert must(queue.next("slow")).ids == ("b",)
