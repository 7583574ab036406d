"""What the engine needs of whatever executes plans, and the executor in threads of this process. Free of torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeVar

from zimage_engine.config import EngineConfig
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import DeviceLost, Plan, PlanResult, WorkerLost
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

T = TypeVar("T")

Ticket = Future[PlanResult]
"""A launched plan."""

Finish = Callable[[], PlanResult]
"""Waits for a plan that has begun, and returns its result."""


class Executor(Protocol):
    """One model on one device, which executes plans in the order in which they are launched.

    Once it is loaded, ``device`` is a name for people, and ``costs`` are what its units take in seconds. Units that are
    predicted to take up to ``ahead_seconds`` may be launched before the unit before them has ended; it is 0 if nothing
    is gained by that.
    """

    device: str
    costs: CostModel
    ahead_seconds: float

    def load(self, report: Report) -> None:
        """Load the model; blocks for seconds to minutes. Calls ``report`` with a few words on what it is doing.

        Raises :class:`EngineError`: :class:`WorkerLost` if another try may succeed.
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
    """What executes the units in a :class:`ThreadExecutor`."""

    device: str
    costs: CostModel
    ahead_seconds: float

    def begin(self, plan: Plan) -> Finish:
        """Start a plan. On a GPU its work is queued there and not waited for; elsewhere all of it may be done now.

        Raises, as what it returns does, if the worker is lost.
        """
        ...


LoadWorker = Callable[[Report], UnitWorker]


class ThreadExecutor:
    """Executes plans in this process: one thread loads the worker and begins the plans, another waits for the device.

    So the device has its next unit before the last one has ended. A unit that hangs cannot be stopped: :meth:`kill`
    leaves the thread and the device's memory behind, so the device is lost for this process.
    """

    device = ""
    ahead_seconds = 0.0

    def __init__(self, load: LoadWorker) -> None:
        self.costs = CostModel()
        self._load = load
        self._launched: SimpleQueue[tuple[Plan, Ticket] | None] = SimpleQueue()
        self._begun: SimpleQueue[tuple[Finish, Ticket] | None] = SimpleQueue()
        self._loaded: Future[None] = Future()
        self._open: set[Future[PlanResult] | Future[None]] = {self._loaded}
        self._lock = threading.Lock()
        self._lost: Exception | None = None
        self._threads: list[threading.Thread] = []

    def load(self, report: Report) -> None:
        self._start("zimage-worker", lambda: self._work(report))
        self._loaded.result()
        self._start("zimage-waiter", self._finish)

    def launch(self, plan: Plan) -> Ticket:
        ticket: Ticket = Future()
        with self._lock:
            if self._lost is not None:
                ticket.set_exception(self._lost)
                return ticket
            self._open.add(ticket)
            self._launched.put((plan, ticket))
        return ticket

    def wait(self, ticket: Ticket) -> PlanResult:
        return ticket.result()

    def kill(self, timeout: float = 0.0) -> None:
        self._lose(DeviceLost("The device hangs; the bot has to be restarted."))
        if timeout:
            for thread in self._threads:
                thread.join(timeout)

    def _start(self, name: str, target: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=target, name=name, daemon=True))
        self._threads[-1].start()

    def _work(self, report: Report) -> None:
        """Load the worker and begin the launched plans in order, until the executor is lost."""
        try:
            worker = self._load(report)
            self.device, self.costs, self.ahead_seconds = worker.device, worker.costs, worker.ahead_seconds
        except Exception as error:  # noqa: BLE001 - raised again by load()
            self._lose(error)
            return
        if self._end(self._loaded, None):
            self._begin_plans(worker)
        self._begun.put(None)
        del worker
        free_memory()

    def _begin_plans(self, worker: UnitWorker) -> None:
        while (launched := self._launched.get()) is not None:
            plan, ticket = launched
            if ticket.done():
                continue  # lost
            try:
                self._begun.put((worker.begin(plan), ticket))
            except Exception as error:  # noqa: BLE001 - logged
                self._break(error)

    def _finish(self) -> None:
        """Wait for the plans that have begun, in order, until the executor is lost."""
        while (begun := self._begun.get()) is not None:
            finish, ticket = begun
            try:
                self._end(ticket, finish())
            except Exception as error:  # noqa: BLE001 - logged
                self._break(error)
            del begun, finish  # they hold tensors

    def _end(self, future: Future[T], result: T) -> bool:
        """Give a future its result; returns False if it was lost before."""
        with self._lock:
            if future not in self._open:
                return False
            self._open.discard(future)
        future.set_result(result)
        return True

    def _break(self, error: Exception) -> None:
        log.error("worker lost", exc_info=error)
        error.__traceback__ = None  # its frames hold tensors
        self._lose(WorkerLost(f"The worker stopped ({type(error).__name__})."))

    def _lose(self, error: Exception) -> None:
        """Fail every open future and every later one; end the threads after what they are doing."""
        with self._lock:
            self._lost = self._lost or error
            futures, self._open = self._open, set()
            self._launched.put(None)
        for future in futures:
            future.set_exception(self._lost)


def load_executor(config: EngineConfig) -> Executor:
    """Return the executor that the configuration names, not yet loaded."""
    load = partial(load_worker, config)
    if config.worker == "thread":
        return ThreadExecutor(load)
    from zimage_engine.process_executor import ProcessExecutor  # noqa: PLC0415 - imports this module

    return ProcessExecutor(load, config.profile.max_pixels)


def load_worker(config: EngineConfig, report: Report) -> UnitWorker:
    """Load the model onto its device in this process; takes seconds to minutes. Raises :class:`EngineError`."""
    from zimage_engine.device.worker import Worker  # noqa: PLC0415 - imports torch, diffusers and transformers

    return Worker.load(config, report)


def import_worker() -> None:
    """Import what :func:`load_worker` needs. Blocks for seconds, most of them without letting other threads run."""
    from zimage_engine.device import worker  # noqa: F401, PLC0415 - imports torch, diffusers and transformers


def free_memory() -> None:
    """Return the memory of a worker that was dropped to the device."""
    from zimage_engine.device import out_of_memory  # noqa: PLC0415 - imports torch

    out_of_memory.free_memory()
