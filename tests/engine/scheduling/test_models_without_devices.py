"""A device is gone for good: what nobody may serve any more ends, and what somebody may serve goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.pipelined_worker import PipelinedWorker, ask
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Event, Failed, Finished, NotAvailable

MODELS = ("turbo", "base", "omni")
GONE = NotAvailable("No device for it is left.")

NUMBERS = st.integers(0, 9)
OPERATIONS = st.lists(st.tuples(st.sampled_from(["submit", "submit", "run", "launch", "ahead", "lose"]), NUMBERS))
ALLOWED = st.lists(st.lists(st.sampled_from(MODELS), min_size=1, unique=True), min_size=1, max_size=4)


@given(ALLOWED, st.lists(OPERATIONS, min_size=1, max_size=4))
def test_no_request_waits_for_a_device_that_is_gone(
    allowed: list[list[str]], stages: list[list[tuple[str, int]]]
) -> None:
    """After each stage of operations a device leaves, and those that stay serve all that is left at the end."""
    queue = RequestQueue(Scheduler(), {name: QueueModel(1024, base=ask("base")) for name in MODELS})
    gone: set[str] = set()
    workers = [
        PipelinedWorker(queue, f"gpu{number}", CostModel(), gone, tuple(models))
        for number, models in enumerate(allowed)
    ]
    asked: dict[str, str] = {}
    ends: dict[str, Event] = {}

    def note(events: list[tuple[str, Event]]) -> None:
        for name, event in events:
            if isinstance(event, Finished | Failed):
                assert name not in ends
                ends[name] = event
                gone.add(name)

    def served() -> list[str]:
        return [model for model in MODELS if any(model in worker.models for worker in workers)]

    def run() -> None:
        while busy := [worker for worker in workers if worker.plans or worker.launch(ahead=False)]:
            for worker in busy:
                note(worker.finish("run"))

    for operations in stages:
        for operation, number in operations:
            if operation == "submit" and (models := served()):
                name, model = f"r{len(asked)}", models[number % len(models)]
                asked[name] = model
                note(queue.submit(ask(name, model=model), owner=number % 3))
            elif workers:
                worker = workers[number % len(workers)]
                if operation in {"launch", "ahead"}:
                    worker.launch(ahead=operation == "ahead")
                elif worker.plans or worker.launch(ahead=False):
                    note(worker.finish(operation))
        if workers:
            note(queue.remove_device(workers.pop().device))
        unserved = set(MODELS) - set(served())
        before = set(ends)
        note(queue.drop_models(unserved, GONE))
        assert all(
            asked[name] in unserved and ends[name] == Failed(GONE, ends[name].seconds) for name in ends.keys() - before
        )
    run()
    assert ends.keys() == asked.keys()
    assert (queue.waiting, queue.running) == (0, 0)
