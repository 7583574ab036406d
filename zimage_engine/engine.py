"""The engine's interface for asyncio: submit, cancel, events, stats, close. One driver thread for the device."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial

from zimage_engine.config import EngineConfig, base_request
from zimage_engine.executor import Executor, free_memory, load_executor
from zimage_engine.handle import Handle
from zimage_engine.profiles import ModelProfile
from zimage_engine.publisher import Publisher
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.forecast import run_forward
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import (
    DeviceLost,
    EngineClosed,
    EngineError,
    EngineState,
    EngineStats,
    ImageRequest,
    InvalidRequest,
    ModelNotFound,
    Plan,
    PlanResult,
)
from zimage_engine.watchdog import Watchdog

log = logging.getLogger(__name__)

_LOSSES_MAX = 2  # workers lost in a row, without a unit done between them


class Engine:
    """The image engine. Create it with :meth:`start` inside a running event loop and end it with :meth:`close`."""

    def __init__(
        self,
        config: EngineConfig,
        make_worker: Callable[[], Executor] | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._config = config
        self._make_worker = make_worker or partial(load_executor, config, self._report)
        self._stage = ""
        self._queue = RequestQueue(scheduler or Scheduler(CostModel()), config.profile.size_multiple**2)
        self._publisher = Publisher()
        self._changed = threading.Condition()
        self._closing = self._draining = False
        self._failure: EngineError | None = None
        self._device = "loading"
        self._had_worker = False
        self._thread = threading.Thread(target=self._drive, name="zimage-driver", daemon=True)
        self._watchdog = Watchdog(config.unit_limit, self._on_hang)

    @classmethod
    def start(
        cls,
        config: EngineConfig,
        make_worker: Callable[[], Executor] | None = None,
        scheduler: Scheduler | None = None,
    ) -> Engine:
        """Begin loading in the driver's thread and return at once; requests may be submitted meanwhile."""
        engine = cls(config, make_worker, scheduler)
        engine._thread.start()
        engine._watchdog.start()
        return engine

    @property
    def profile(self) -> ModelProfile:
        return self._config.profile

    async def ready(self) -> None:
        """Wait until the model is loaded. Raises the :class:`EngineError` that prevented it."""
        await asyncio.shield(self._publisher.loaded)

    async def lost(self) -> EngineError:
        """Wait until the device is lost, which may be never. Returns the error that every request then ends with."""
        return await asyncio.shield(self._publisher.lost)

    def submit(self, request: ImageRequest, *, owner: Hashable, weight: float = 1.0) -> Handle:
        """Queue a request; an owner of ``weight`` 2 gets twice the share of an owner of weight 1.

        Raises :class:`InvalidRequest`, :class:`EngineClosed` after :meth:`close`, or the error that stopped the engine.
        """
        self._config.profile.check(request)
        handle = Handle(request, self._cancel)
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            try:
                events = self._queue.submit(request, owner, weight)
            except ValueError as error:
                raise InvalidRequest(str(error)) from error
            self._publisher.add(handle)
            self._publisher.publish(events)
            self._changed.notify_all()
        return handle

    def seconds_alone(self, request: ImageRequest) -> float:
        """Return the predicted seconds of a request on an idle device; a rough guess until the model is loaded."""
        return self._queue.seconds_alone(request)

    def stats(self) -> EngineStats:
        """Return what the engine is doing now; never waits for the device."""
        with self._changed:
            queue = self._queue
            return EngineStats(
                state=self._state(),
                device=self._device,
                model=self._config.profile.title,
                waiting=queue.waiting,
                running=queue.running,
                finished=queue.finished,
                failed=queue.failed,
                busy_seconds=queue.busy_seconds,
                stage=self._stage,
            )

    async def close(self, *, drain: bool = False, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - for a thread
        """Stop after the running unit, or with ``drain`` after all requests; waits for ``timeout`` seconds at most.

        Requests that are left fail with :class:`EngineClosed`.
        """
        with self._changed:
            self._closing, self._draining = True, drain
            self._changed.notify_all()
        self._watchdog.stop()
        await asyncio.to_thread(self._thread.join, timeout)
        if self._thread.is_alive():
            log.warning("the running unit did not end within %s s; it is abandoned", timeout)
        error = EngineClosed("The bot is restarting; please ask again in a minute.")
        with self._changed:
            self._publisher.publish(self._queue.drop_all(error))

    def _state(self) -> EngineState:
        if self._failure is not None:
            return "failed"
        if self._closing:
            return "closed"
        return "ready" if self._publisher.loaded.done() else "loading"

    def _cancel(self, request_id: str) -> None:
        with self._changed:
            self._publisher.publish(self._queue.cancel(request_id))

    def _drive(self) -> None:
        """Run the driver's thread; if it breaks, every request fails instead of waiting for ever."""
        try:
            self._run_plans()
        except Exception:
            log.exception("the driver broke")
            self._fail(DeviceLost("The engine broke; the bot has to be restarted."))

    def _run_plans(self) -> None:
        """Load, then plan, execute and record until closed; replaces a lost worker."""
        worker, losses = self._load(), 0
        while worker is not None:
            plan = self._next_plan()
            if plan is None:
                return
            result = self._execute(worker, plan)
            if result is not None:
                losses = 0
                if not self._record(plan, result):
                    return
                continue
            losses += 1
            worker = None  # dropped before the next one is loaded: the device has no room for two
            free_memory()
            worker = self._replace_worker(plan, losses)

    @staticmethod
    def _execute(worker: Executor, plan: Plan) -> PlanResult | None:
        """Return the result of the plan, or None if the worker is lost."""
        try:
            return worker.execute(plan)
        except Exception:
            log.exception("worker lost: unit=%s", plan.unit.value)
            return None

    def _next_plan(self) -> Plan | None:
        """Wait for a plan; None if the engine closes."""
        with self._changed:
            self._watchdog.idle()
            while not self._stops_now():
                if (plan := self._queue.next()) is not None:
                    self._watchdog.unit_begins()
                    return plan
                if self._closing:
                    break
                self._changed.wait()
            return None

    def _record(self, plan: Plan, result: PlanResult) -> bool:
        """Publish what follows from a plan; returns False if :meth:`close` or the watchdog abandoned the plan."""
        with self._changed:
            if not self._queue.is_running(plan):
                return False
            self._publisher.publish(self._queue.done(plan, result))
            copied = self._queue.forecast_due(time.monotonic())
        if copied is not None:
            # Without the lock, so that submitting and cancelling do not wait for it.
            ends = run_forward(copied)
            with self._changed:
                self._publisher.publish(self._queue.expected(ends))
        return True

    def _replace_worker(self, plan: Plan, losses: int) -> Executor | None:
        """Load a new worker and restart all requests on it; None if the device is given up or the engine closes."""
        if losses > _LOSSES_MAX:
            self._fail(DeviceLost("The device stopped working; the bot has to be restarted."))
            return None
        with self._changed:
            if not self._queue.is_running(plan):
                return None
            self._watchdog.idle()
            self._publisher.publish(self._queue.restart())
            if self._stops_now():
                return None
        return self._load()

    def _on_hang(self) -> None:
        self._fail(DeviceLost("The device hangs; the bot has to be restarted."))

    def _stops_now(self) -> bool:
        return self._closing and not self._draining

    def _report(self, stage: str) -> None:
        if stage.partition(":")[0] != self._stage.partition(":")[0]:
            log.info("loading: %s", stage)
        self._stage = stage

    def _load(self) -> Executor | None:
        try:
            worker = self._make_worker()
        except EngineError as error:
            failure = error
        except Exception as error:
            log.exception("loading failed")
            failure = ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")
        else:
            self._device, self._had_worker, self._stage = worker.device, True, ""
            with self._changed:
                self._queue.use_costs(worker.costs, base_request(self._config.profile))
            self._publisher.set_loaded()
            return worker
        if self._had_worker:
            log.error("the model cannot be loaded again: %s", failure)
            self._fail(DeviceLost("The device stopped working; the bot has to be restarted."))
        else:
            self._publisher.set_loaded(failure)
            self._fail(ModelNotFound("The model could not be loaded; the operator's log says why."))
        return None

    def _fail(self, error: EngineError) -> None:
        """Stop for good: end all requests, and every later one, with ``error``."""
        with self._changed:
            self._failure = error
            self._publisher.publish(self._queue.drop_all(error))
        if isinstance(error, DeviceLost):
            self._publisher.set_lost(error)
