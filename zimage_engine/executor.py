"""What the engine needs of whatever executes plans, and the executor in threads of this process. Free of torch."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Protocol

from zimage_engine.config import EngineConfig
from zimage_engine.places import DevicePlace
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import DeviceLost, ImageRequest, OutOfMemory, Plan, PlanResult, WorkerLost
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

Ticket = Future[PlanResult]
"""A launched plan."""

Finish = Callable[[], PlanResult]
"""Waits for a plan that has begun, and returns its result."""


class Executor(Protocol):
    """The models on one device, which executes plans in the order in which they are launched.

    Once it is loaded, ``device`` is a name for people, and ``models`` are the names of the models that it holds. By
    model, ``costs`` are what its units take in seconds, estimated for models that are not loaded yet, and
    ``load_seconds`` what it is expected to take to load it. Units that are predicted to take up to ``ahead_seconds``
    may be launched before the unit before them has ended; it is 0 if nothing is gained by that. ``lost`` is the error
    with which later plans fail; None as long as it works.
    """

    device: str
    costs: Mapping[str, CostModel]
    models: frozenset[str]
    load_seconds: Mapping[str, float]
    ahead_seconds: float

    @property
    def lost(self) -> Exception | None: ...

    def load(self, report: Report) -> None:
        """Load the place's first model; blocks for seconds to minutes.

        Calls ``report`` with a few words on what it is doing. Raises :class:`EngineError`: :class:`WorkerLost` if
        another try may succeed.
        """
        ...

    def launch(self, plan: Plan) -> Ticket:
        """Have a plan executed after those that were launched before. Does not wait."""
        ...

    def wait(self, ticket: Ticket) -> PlanResult:
        """Return the result of a launched plan; blocks. Failures of single requests stand in the result.

        Raises :class:`WorkerLost` if the executor is lost and a new one can be loaded, :class:`DeviceLost` if not.
        """
        ...

    def kill(self, timeout: float = 0.0) -> None:
        """Stop; plans without a result are lost. Waits up to ``timeout`` seconds until the device is free again."""
        ...


class UnitWorker(Protocol):
    """What executes the units in a :class:`ThreadExecutor`. Its attributes are those of an :class:`Executor`."""

    device: str
    costs: Mapping[str, CostModel]
    models: frozenset[str]
    load_seconds: Mapping[str, float]
    ahead_seconds: float

    def begin(self, plan: Plan) -> Finish:
        """Start a plan. On a GPU its work is queued there and not waited for; elsewhere all of it may be done now.

        Raises, as what it returns does, if the worker is lost.
        """
        ...


LoadWorker = Callable[[Report], UnitWorker]


class PlanRunner:
    """Runs plans on a worker: begins each in the calling thread, and waits for it there.

    If the worker takes units ahead, another thread waits, so that the next plan can begin meanwhile. ``ended`` is
    called with the result of each plan, in order, or with what was raised: then the worker is lost.
    """

    def __init__(self, worker: UnitWorker, ended: Callable[[PlanResult | Exception], None]) -> None:
        self._worker = worker
        self._ended = ended
        self._begun: SimpleQueue[Finish | None] = SimpleQueue()
        self._waiter: threading.Thread | None = None
        if worker.ahead_seconds:
            self._waiter = threading.Thread(target=self._wait, name="zimage-waiter", daemon=True)
            self._waiter.start()

    def run(self, plan: Plan) -> None:
        """Begin a plan; without a waiting thread, also end it."""
        try:
            finish = self._worker.begin(plan)
        except Exception as error:  # noqa: BLE001 - passed on
            self._ended(error)
            return
        if self._waiter is None:
            self._finish(finish)
        else:
            self._begun.put(finish)

    def close(self) -> None:
        """End the waiting thread, if there is one, after the plans that have begun."""
        self._begun.put(None)

    def _wait(self) -> None:
        while (finish := self._begun.get()) is not None:
            self._finish(finish)
            del finish  # it holds tensors

    def _finish(self, finish: Finish) -> None:
        try:
            result = finish()
        except Exception as error:  # noqa: BLE001 - passed on
            self._ended(error)
        else:
            self._ended(result)


class OpenTickets:
    """Loading and the launched plans whose end is awaited; plans end in the order in which they were launched.

    ``lost`` is the error with which all of them, and later ones, fail; None as long as the executor works.
    """

    def __init__(self) -> None:
        self.loaded: Future[None] = Future()
        self.lost: Exception | None = None
        self._tickets: deque[Ticket] = deque()
        self._lock = threading.Lock()

    def open(self) -> Ticket:
        """Return the ticket of a plan that is launched now; it has failed already if the executor is lost."""
        ticket: Ticket = Future()
        with self._lock:
            if self.lost is None:
                self._tickets.append(ticket)
                return ticket
        ticket.set_exception(self.lost)
        return ticket

    def end_loading(self) -> None:
        """End loading, unless the executor was lost meanwhile."""
        with self._lock:
            if self.lost is None:
                self.loaded.set_result(None)

    def end(self, result: PlanResult) -> None:
        """Give the oldest ticket its result. There is none if the executor was lost meanwhile."""
        with self._lock:
            ticket = self._tickets.popleft() if self._tickets else None
        if ticket is not None:
            ticket.set_result(result)

    def lose(self, error: Exception) -> bool:
        """Fail everything that has not ended, now and later. Returns False if that was done before."""
        with self._lock:
            first, self.lost = self.lost is None, self.lost or error
            tickets, self._tickets = self._tickets, deque()
            if not self.loaded.done():
                self.loaded.set_exception(self.lost)
        for ticket in tickets:
            ticket.set_exception(self.lost)
        return first


class ThreadExecutor:
    """Executes plans in this process, in threads of a :class:`PlanRunner`.

    A unit that hangs cannot be stopped: :meth:`kill` leaves its thread and the device's memory behind, so the device is
    lost for this process.
    """

    device = ""
    ahead_seconds = 0.0

    def __init__(self, load: LoadWorker) -> None:
        self.costs: Mapping[str, CostModel] = {}
        self.models: frozenset[str] = frozenset()
        self.load_seconds: Mapping[str, float] = {}
        self._load = load
        self._launched: SimpleQueue[Plan | None] = SimpleQueue()
        self._tickets = OpenTickets()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> Exception | None:
        return self._tickets.lost

    def load(self, report: Report) -> None:
        """See :meth:`Executor.load`."""
        self._thread = threading.Thread(target=self._work, args=(report,), name="zimage-worker", daemon=True)
        self._thread.start()
        self._tickets.loaded.result()

    def launch(self, plan: Plan) -> Ticket:
        """See :meth:`Executor.launch`."""
        ticket = self._tickets.open()
        self._launched.put(plan)
        return ticket

    def wait(self, ticket: Ticket) -> PlanResult:
        """See :meth:`Executor.wait`."""
        return ticket.result()

    def kill(self, timeout: float = 0.0) -> None:
        """See :meth:`Executor.kill`. A unit that is running goes on in its thread."""
        self._lose(DeviceLost("The device hangs; the bot has to be restarted."))
        if timeout and self._thread is not None:
            self._thread.join(timeout)

    def _work(self, report: Report) -> None:
        """Load the worker and run the launched plans in order, until the executor is lost."""
        try:
            worker = self._load(report)
            self.device, self.ahead_seconds = worker.device, worker.ahead_seconds
            self._show_models(worker)
        except Exception as error:  # noqa: BLE001 - raised again by load()
            self._lose(error)
            return
        self._tickets.end_loading()
        runner = PlanRunner(worker, partial(self._ended, worker))
        while (plan := self._launched.get()) is not None and self.lost is None:
            runner.run(plan)
        runner.close()
        del worker, runner
        if isinstance(self.lost, WorkerLost):
            free_memory()  # for the next one; it takes a moment in which no other thread runs

    def _show_models(self, worker: UnitWorker) -> None:
        self.costs, self.models, self.load_seconds = worker.costs, worker.models, worker.load_seconds

    def _ended(self, worker: UnitWorker, result: PlanResult | Exception) -> None:
        if isinstance(result, PlanResult):
            if result.models is not None:
                self._show_models(worker)
            self._tickets.end(result)
            return
        log.error("worker lost", exc_info=result)
        result.__traceback__ = None  # its frames hold tensors
        self._lose(WorkerLost(f"The worker stopped ({type(result).__name__})."))

    def _lose(self, error: Exception) -> None:
        """Fail what has not ended; end the thread after what it is doing."""
        self._tickets.lose(error)
        self._launched.put(None)


def out_of_memory(request: ImageRequest) -> OutOfMemory:
    """Return the error of a request for which the device has too little memory."""
    return OutOfMemory(f"The device has too little memory for {request.width}×{request.height}; try a smaller size.")


def load_executor(config: EngineConfig, place: DevicePlace) -> Executor:
    """Return the executor of a place, not yet loaded. If it is not alone on its machine, it is a process."""
    load = partial(load_worker, config, place)
    if config.worker == "thread" and not place.threads:  # several would wait for one interpreter's lock
        return ThreadExecutor(load)
    from zimage_engine.process_executor import ProcessExecutor  # noqa: PLC0415 - imports this module

    return ProcessExecutor(load, max(profile.max_pixels for profile in config.profiles))


def load_worker(config: EngineConfig, place: DevicePlace, report: Report) -> UnitWorker:
    """Load the worker of a place in this process; takes seconds to minutes. Raises :class:`EngineError`."""
    from zimage_engine.device.worker import Worker  # noqa: PLC0415 - imports torch, diffusers and transformers

    return Worker.load(config, place, report)


def import_worker() -> None:
    """Import what :func:`load_worker` needs. Blocks for seconds, most of them without letting other threads run."""
    from zimage_engine.device import worker  # noqa: F401, PLC0415 - imports torch, diffusers and transformers


def free_memory() -> None:
    """Return the memory of a worker that was dropped to the device."""
    from zimage_engine.device import out_of_memory  # noqa: PLC0415 - imports torch

    out_of_memory.free_memory()
