"""The thread that keeps a device busy: loads an executor, launches plans, records results, replaces what is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from zimage_engine.config import EngineConfig
from zimage_engine.executor import Executor, Ticket
from zimage_engine.places import DevicePlace
from zimage_engine.publisher import Publisher
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.stats import Observer
from zimage_engine.types import DeviceLost, EngineError, ModelNotFound, Plan, PlanResult, WorkerLost
from zimage_engine.watchdog import Watchdog

log = logging.getLogger(__name__)

MakeExecutor = Callable[[DevicePlace], Executor]

_LOSSES_MAX = 2  # executors lost in a row, without a unit done between them
_SLOW_FACTOR = 5  # a unit may take this many times its predicted seconds, if that is more than the limit
_FREEING_SECONDS = 10.0
_CHECK_SECONDS = 1.0
_DEVICE = "device"
_BROKEN = "The device stopped working; the bot has to be restarted."


class Driver:
    """Drives one device for the engine. ``changed`` is the engine's lock, notified when there may be a plan;
    ``on_progress`` is called after each plan.

    ``failure`` is the error that stopped it for good, ``restarts`` how often the executor was replaced. ``device`` and
    ``stage`` are texts for people; ``stage`` is empty while nothing is being loaded. ``loading_since`` is when loading
    last began, in UTC seconds.
    """

    def __init__(
        self,
        config: EngineConfig,
        place: DevicePlace,
        make_executor: MakeExecutor,
        queue: RequestQueue,
        publisher: Publisher,
        changed: threading.Condition,
        on_progress: Callable[[], None],
    ) -> None:
        self._config = config
        self._place = place
        self._make_executor = make_executor
        self._queue = queue
        self._publisher = publisher
        self._changed = changed
        self._on_progress = on_progress
        self.observer: Observer | None = None
        self._executor: Executor | None = None
        self._loading = False
        self._had_executor = False
        self._losses = 0
        self.restarts = 0
        self._draining = False
        self.closing = False
        self.failure: EngineError | None = None
        self.device = "loading"
        self.stage = ""
        self.loading_since = time.time()
        self._thread = threading.Thread(target=self._drive, name="zimage-driver", daemon=True)
        self._watchdog = Watchdog(self._on_hang)

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def stop(self, *, drain: bool) -> None:
        """End after the launched units, or at once while loading; with ``drain``, when no request is left."""
        with self._changed:
            self.closing, self._draining = True, drain
            self._changed.notify_all()
            loading = self._executor if self._loading and not drain else None
        if loading is not None:
            loading.kill()

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, ``timeout`` seconds at most."""
        self._thread.join(timeout)

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def abandon(self, error: EngineError) -> None:
        """End every request with ``error`` now, and the thread and the executor as soon as they can. Does not wait."""
        self._watchdog.stop()
        self._publisher.set_loaded(error)  # if it is not loaded yet
        with self._changed:
            self._draining = False
            self._publisher.publish(self._queue.drop_all(error))
            self._changed.notify_all()
            executor = self._executor
        if executor is not None:
            executor.kill()

    def _drive(self) -> None:
        """Run the thread; if it breaks, every request fails instead of waiting for ever."""
        try:
            while self._use_one_executor():
                pass
        except Exception:
            log.exception("the driver broke")
            self._fail(DeviceLost("The engine broke; the bot has to be restarted."))
        self._watchdog.stop()

    def _use_one_executor(self) -> bool:
        """Load an executor and use it until it is lost or the engine closes. Returns True if another one is needed."""
        executor = self._make_executor(self._place)
        with self._changed:
            self._executor, self._loading = executor, True
        loaded = False
        try:
            loaded = not self._stops_now() and self._load(executor)
            if loaded:
                self._run_plans(executor)
        except DeviceLost as error:
            if not self._stops_now():
                self._fail(error)
        except WorkerLost as error:
            if not self._stops_now():
                log.warning("worker lost: %s", error)
                return self._restart_requests()
        finally:
            self._watchdog.idle()
            with self._changed:
                self._executor, self._loading = None, False
            # The device has no room for two. One that was killed while it loaded may go on for minutes.
            executor.kill(_FREEING_SECONDS if loaded else 0.0)
        return False

    def _run_plans(self, executor: Executor) -> None:
        """Launch plans and record their results until the engine closes. Raises if the executor is lost."""
        launched: deque[tuple[Plan, Ticket]] = deque()
        while True:
            plan = self._wait_for_plan(executor) if not launched else self._plan_ahead(executor)
            if plan is None and not launched:
                return
            if plan is not None:
                if not launched:
                    self._watch(plan)
                launched.append((plan, executor.launch(plan)))
                if len(launched) == 1:
                    continue  # perhaps another one can be launched ahead
            plan, ticket = launched.popleft()
            result = executor.wait(ticket)
            self._losses = 0
            if launched:
                self._watch(launched[0][0])
            if not self._record(plan, result):
                return

    def _wait_for_plan(self, executor: Executor) -> Plan | None:
        """Wait for a plan; None if the engine closes. Raises if the executor is lost meanwhile."""
        with self._changed:
            self._watchdog.idle()
            while not self._stops_now():
                if executor.lost is not None:
                    raise executor.lost
                if (plan := self._queue.next(_DEVICE)) is not None:
                    return plan
                if self.closing:
                    break
                self._changed.wait(_CHECK_SECONDS)
            return None

    def _plan_ahead(self, executor: Executor) -> Plan | None:
        """Return the plan to launch before the running one has ended, or None."""
        if not executor.ahead_seconds:
            return None
        with self._changed:
            return None if self._stops_now() else self._queue.next_ahead(_DEVICE, executor.ahead_seconds)

    def _record(self, plan: Plan, result: PlanResult) -> bool:
        """Publish what follows from a plan; returns False if the plan was abandoned."""
        with self._changed:
            if not self._queue.is_running(_DEVICE, plan):
                return False
            self._publisher.publish(self._queue.done(_DEVICE, plan, result))
            record = self._queue.record
        self._on_progress()
        if record is not None and self.observer is not None:
            try:
                self.observer(record)
            except Exception:
                log.exception("the observer of units broke")
        return True

    def _load(self, executor: Executor) -> bool:
        """Load the executor; returns False if that failed for good. Raises if it is lost meanwhile."""
        self.stage = "loading"
        self._watchdog.begins(self.stage, self._config.load_limit)
        try:
            executor.load(self._report)
        except (WorkerLost, DeviceLost):
            raise
        except EngineError as error:
            failure = error
        except Exception as error:
            log.exception("loading failed")
            failure = ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")
        else:
            with self._changed:
                self.device, self.stage, self._had_executor, self._loading = executor.device, "", True, False
                model = frozenset({self._config.profile.name})
                self._queue.add_device(_DEVICE, executor.costs, model, model)
            self._publisher.set_loaded()
            return True
        if self._had_executor:
            log.error("the model cannot be loaded again: %s", failure)
            self._fail(DeviceLost(_BROKEN))
        else:
            self._publisher.set_loaded(failure)
            self._fail(ModelNotFound("The model could not be loaded; the operator's log says why."))
        return False

    def _restart_requests(self) -> bool:
        """Begin all started requests again on the next executor, unless the device is given up or the engine closes."""
        self._losses += 1
        if self._losses > _LOSSES_MAX:
            self._fail(DeviceLost(_BROKEN))
            return False
        with self._changed:
            self.restarts += 1
            self.stage, self.loading_since = "restarting", time.time()
            self._publisher.publish(self._queue.remove_device(_DEVICE))
            return not self._stops_now()

    def _report(self, stage: str) -> None:
        """Note what loading does. Each new stage, and each word of progress, gives it the limit of a unit again."""
        if stage.partition(":")[0] != self.stage.partition(":")[0]:
            log.info("loading: %s", stage)
        if stage != self.stage:
            self._watchdog.begins(stage, self._config.load_limit)
        self.stage = stage

    def _watch(self, plan: Plan) -> None:
        unit = plan.unit.value if plan.unit is not None else "free memory"
        self._watchdog.begins(unit, max(self._config.unit_limit, _SLOW_FACTOR * plan.seconds))

    def _on_hang(self) -> None:
        with self._changed:
            executor = self._executor
        if executor is not None:
            executor.kill()

    def _stops_now(self) -> bool:
        return self.closing and not self._draining

    def _fail(self, error: EngineError) -> None:
        """Stop for good: end all requests, and every later one, with ``error``."""
        with self._changed:
            self.failure = error
            self._publisher.publish(self._queue.drop_all(error))
        if isinstance(error, DeviceLost):
            self._publisher.set_loaded(error)
            self._publisher.set_lost(error)
