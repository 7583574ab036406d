"""An executor in a child process: the bot's interpreter stays free, and a device that hangs can be killed."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize

from zimage_engine.device.child import Loaded, LoadFailed, Lost, ModelsChanged, serve
from zimage_engine.executor import LoadWorker, OpenTickets, Ticket
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.shared_pixels import Packed, SharedPixels
from zimage_engine.types import EngineError, Plan, PlanResult, WorkerLost
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

_ENDING_SECONDS = 3.0
_AHEAD_SECONDS = 0.1
"""Units up to this long are launched one ahead on any device: this process may be busy when a result comes."""

_CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold


class ProcessExecutor:
    """Executes plans in a child process that runs a :class:`~zimage_engine.executor.PlanRunner`.

    ``load`` must be picklable. ``pixels`` is the number of pixels of the largest picture. One thread of this process
    receives what the child sends. The child ends when this process does.
    """

    device = ""
    ahead_seconds = 0.0

    def __init__(self, load: LoadWorker, pixels: int) -> None:
        self.costs: Mapping[str, CostModel] = {}
        self.models: frozenset[str] = frozenset()
        self.load_seconds: Mapping[str, float] = {}
        self._load = load
        self._pixels = pixels
        self._tickets = OpenTickets()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._receiver: threading.Thread | None = None

    @property
    def lost(self) -> Exception | None:
        return self._tickets.lost

    def load(self, report: Report) -> None:
        """See :meth:`~zimage_engine.executor.Executor.load`."""
        shared = SharedPixels(3 * self._pixels)
        here, there = _CONTEXT.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = _CONTEXT.Process(
            target=serve, args=(there, shared.name, shared.size, self._load, level), name="zimage-worker", daemon=True
        )
        receiver = threading.Thread(
            target=self._receive, args=(here, shared, report), name="zimage-receiver", daemon=True
        )
        with self._lock:
            if self.lost is None:
                try:
                    process.start()
                except OSError as error:
                    here.close()
                    there.close()
                    shared.close(unlink=True)
                    raise WorkerLost(f"No process could be started for the model ({error.strerror}).") from error
                # Where nobody kills it, multiprocessing sends SIGTERM at exit, which it ignores, and waits for its end.
                Finalize(self, process.kill, exitpriority=0)
                self._connection, self._process, self._receiver = here, process, receiver
        there.close()  # so that the end of the child is the end of the pipe
        receiver.start()
        self._tickets.loaded.result()

    def launch(self, plan: Plan) -> Ticket:
        """See :meth:`~zimage_engine.executor.Executor.launch`."""
        ticket = self._tickets.open()
        if self._connection is not None and not ticket.done():
            try:
                with self._sending:
                    self._connection.send(plan)
            except OSError:
                log.debug("the worker process has ended")  # the receiver fails the ticket
        return ticket

    def wait(self, ticket: Ticket) -> PlanResult:
        """See :meth:`~zimage_engine.executor.Executor.wait`."""
        return ticket.result()

    def kill(self, timeout: float = 0.0) -> None:
        """See :meth:`~zimage_engine.executor.Executor.kill`. With a ``timeout`` the child may end by itself first."""
        with self._lock:
            first = self._tickets.lose(WorkerLost("The worker process was killed."))
            connection, process, receiver = self._connection, self._process, self._receiver
        if process is None or connection is None or receiver is None:
            return
        if first and timeout:
            with suppress(OSError), self._sending:
                connection.send(None)  # it ends by itself, and so cleans up, unless it hangs
            process.join(min(timeout, _ENDING_SECONDS))
        process.kill()
        if timeout:
            receiver.join(timeout)

    def _receive(self, connection: Connection, shared: SharedPixels, report: Report) -> None:
        """Handle what the child sends, until it ends."""
        try:
            while True:
                self._handle(connection.recv(), shared, report)
        except (EOFError, OSError):
            self._lose(WorkerLost(f"The worker process ended ({self._reason()})."))
        except Exception as error:
            log.exception("the worker process sent something unreadable")
            self._lose(WorkerLost(f"The worker process sent something unreadable ({type(error).__name__})."))
        finally:
            with self._sending:  # closed in the middle of a send, it would be written to whatever has its number next
                connection.close()
            shared.close(unlink=True)

    def _handle(self, message: object, shared: SharedPixels, report: Report) -> None:
        match message:
            case Packed():
                self._tickets.end(shared.unpack(message))
            case str():
                report(message)
            case logging.LogRecord():
                logger = logging.getLogger(message.name)
                if logger.isEnabledFor(message.levelno):
                    logger.handle(message)
            case Loaded():
                self.device, self.costs = message.device, message.costs
                self.models, self.load_seconds = message.models, message.load_seconds
                self.ahead_seconds = max(message.ahead_seconds, _AHEAD_SECONDS)
                self._tickets.end_loading()
            case ModelsChanged():
                self.costs = {**self.costs, **message.costs}
                self.models, self.load_seconds = message.models, message.load_seconds
            case LoadFailed():
                self._tickets.lose(message.error)
            case Lost():
                self._lose(WorkerLost(message.reason))

    def _reason(self) -> str:
        """Return how the child ended, waiting a moment for it."""
        if self._process is None:
            return "killed"
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return f"{name}: out of memory?" if name == "SIGKILL" and self.lost is None else name
        return f"exit status {code}"

    def _lose(self, error: EngineError) -> None:
        """Fail everything that has not ended, and end the child."""
        self._tickets.lose(error)
        if self._process is not None:
            self._process.kill()
