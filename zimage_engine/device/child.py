"""The child process of a :class:`zimage_engine.process_executor.ProcessExecutor`. Importing this loads no torch."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from zimage_engine.executor import Executor, LoadWorker, PlanRunner, UnitWorker
from zimage_engine.printed_lines import PrintedLines
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.shared_pixels import SharedPixels
from zimage_engine.types import EngineError, ModelNotFound, PlanResult

log = logging.getLogger(__name__)

_CHECK_SECONDS = 0.5

Send = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The worker is loaded: the attributes of its executor."""

    device: str
    costs: Mapping[str, CostModel]
    models: frozenset[str]
    load_seconds: Mapping[str, float]
    ahead_seconds: float


@dataclass(frozen=True, slots=True)
class ModelsChanged:
    """Other models are loaded: the attributes of the executor. ``costs`` has those that have changed."""

    costs: Mapping[str, CostModel]
    models: frozenset[str]
    load_seconds: Mapping[str, float]

    @classmethod
    def since(cls, sent: Mapping[str, CostModel], worker: UnitWorker | Executor) -> ModelsChanged:
        """Return what to send after ``sent``; whoever got that has corrected the costs that are still the same."""
        changed = {name: costs for name, costs in worker.costs.items() if sent.get(name) is not costs}
        return cls(changed, worker.models, worker.load_seconds)


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The worker cannot be loaded."""

    error: EngineError


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker is lost; the log says more."""

    reason: str


def serve(connection: Connection, pixels_name: str, pixels_size: int, load: LoadWorker, level: int) -> None:
    """Load a worker, then execute the plans that come through the pipe, until None comes or its other end is closed.

    Sends stages of loading as texts, log records, and then a packed result for each plan, in order. What a plan changes
    of the executor's attributes comes before its result.
    """
    send = begin_child(connection, level)
    try:
        worker = load(send)
    except EngineError as error:
        send(LoadFailed(error))
        return
    except Exception as error:
        log.exception("loading failed")
        send(LoadFailed(ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")))
        return
    send(Loaded(worker.device, worker.costs, worker.models, worker.load_seconds, worker.ahead_seconds))
    _execute(connection, worker, SharedPixels(pixels_size, pixels_name), send)


def begin_child(connection: Connection, level: int, clean_up: Callable[[], None] = lambda: None) -> Send:
    """Prepare a child process: it ends with its parent, ignores signals, and sends its log records to the parent.

    Returns what sends a message through the pipe, from any thread. ``clean_up`` is called when the parent has ended.
    """
    for number in (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ())):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group or unit: the parent ends this process
    threading.Thread(target=_end_with_parent, args=(clean_up,), name="zimage-parent", daemon=True).start()
    lock = threading.Lock()

    def send(message: object) -> None:
        try:
            with lock:
                connection.send(message)
        except OSError:
            clean_up()
            os._exit(0)  # the parent is gone

    logging.basicConfig(handlers=[_ToParent(send)], format="%(message)s", level=level, force=True)
    logging.captureWarnings(capture=True)
    sys.stderr = PrintedLines(sys.stderr, lambda line: log.warning("printed: %s", line))
    return send


def _execute(connection: Connection, worker: UnitWorker, pixels: SharedPixels, send: Send) -> None:
    sent = worker.costs

    def ended(result: PlanResult | Exception) -> None:
        nonlocal sent
        if isinstance(result, Exception):
            log.error("worker lost", exc_info=result)
            send(Lost(f"The worker stopped ({type(result).__name__})."))
            return
        if result.models is not None:
            send(ModelsChanged.since(sent, worker))
            sent = worker.costs
        send(pixels.pack(result))

    runner = PlanRunner(worker, ended)
    try:
        while (plan := connection.recv()) is not None:
            runner.run(plan)
    except EOFError:
        os._exit(0)  # the parent is gone


def _end_with_parent(clean_up: Callable[[], None]) -> None:
    """End this process when its parent has ended, whatever the main thread is doing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not wait([parent.sentinel], _CHECK_SECONDS) and os.getppid() == parent.pid:
        pass
    clean_up()
    os._exit(1)


class _ToParent(logging.handlers.QueueHandler):
    """Sends log records, with their tracebacks as text, to the parent's log."""

    def __init__(self, send: Send) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send(record)
