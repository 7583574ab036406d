"""Keeps the process that watches a Ray cluster, in a thread of the bot. Imports no Ray."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize

from zimage_engine.cluster.config import ClusterConfig, RayNodeInfo
from zimage_engine.cluster.link import RayLink
from zimage_engine.cluster.watching import NodesSeen, WatchFailed, watch
from zimage_engine.types import EngineError, WorkerLost
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

_PAUSES = (0.5, 2.0, 5.0, 10.0)
"""Seconds before the process is started again, after one failure, two, and so on."""

_STEADY_SECONDS = 60.0
_TICK_SECONDS = 1.0
_CONTEXT = multiprocessing.get_context("spawn")

OnNodes = Callable[[RayLink, tuple[RayNodeInfo, ...]], None]
OnLoss = Callable[[EngineError], None]
OnTick = Callable[[], None]


class ClusterWatch:
    """Calls ``on_nodes`` with the nodes that are alive, as often as they change, and ``on_loss`` when the cluster
    cannot be reached any more or not at all; it tries again until :meth:`stop`. ``on_tick`` is called each second
    while the cluster can be reached. All are called in its own thread.
    """

    def __init__(
        self, config: ClusterConfig, on_nodes: OnNodes, on_loss: OnLoss, on_tick: OnTick, report: Report
    ) -> None:
        self._config = config
        self._on_nodes = on_nodes
        self._on_loss = on_loss
        self._on_tick = on_tick
        self._report = report
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._keep, name="zimage-cluster", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End the process, and Ray if it was started for this; waits up to ``seconds``, then ends it by force."""
        self._stopping.set()
        with self._lock:
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.send(None)
        self._thread.join(seconds)

    def _keep(self) -> None:
        failures, told = 0, ""
        while not self._stopping.is_set():
            began = time.monotonic()
            error = self._watch()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _STEADY_SECONDS:
                failures, told = 0, ""
            else:
                failures += 1
            log.log(logging.DEBUG if str(error) == told else logging.WARNING, "Ray cluster lost: %s", error)
            told = str(error)
            self._on_loss(error)
            self._stopping.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _watch(self) -> EngineError:
        """Run one process until it ends; returns why."""
        here, there = _CONTEXT.Pipe()
        level = logging.getLogger().getEffectiveLevel()
        process = _CONTEXT.Process(target=watch, args=(there, self._config, level), name="zimage-cluster", daemon=True)
        try:
            process.start()
        except OSError as failure:
            here.close()
            return WorkerLost(f"No process could be started for the cluster ({failure.strerror}).")
        finally:
            there.close()
        at_exit = Finalize(self, process.kill, exitpriority=0)
        error: EngineError = WorkerLost("Ray's processes on this machine have ended.")
        try:
            with self._lock:
                self._connection = here
            if self._stopping.is_set():
                return error
            ticked = time.monotonic()
            while True:
                if time.monotonic() - ticked >= _TICK_SECONDS:  # also while messages keep coming
                    self._on_tick()
                    ticked = time.monotonic()
                if not here.poll(_TICK_SECONDS):
                    continue
                message = here.recv()
                if isinstance(message, WatchFailed):
                    error = message.error
                else:
                    self._handle(message)
        except (EOFError, OSError):
            return error
        except Exception:
            log.exception("following the cluster broke")
            return WorkerLost("Following the cluster broke.")
        finally:
            with self._lock:
                self._connection = None
            process.join(0.5)
            at_exit()  # kills it, and is not kept: a cluster that is away for a week is looked for every ten seconds
            here.close()

    def _handle(self, message: object) -> None:
        match message:
            case NodesSeen(link, nodes):
                self._on_nodes(link, nodes)
            case logging.LogRecord() as record:
                logger = logging.getLogger(record.name)
                if logger.isEnabledFor(record.levelno):
                    logger.handle(record)
            case str() as stage:
                self._report(stage)
