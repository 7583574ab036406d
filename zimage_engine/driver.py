"""The thread that keeps a device busy: loads an executor, launches plans, records results, replaces what is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from zimage_engine.executor import Executor, Ticket
from zimage_engine.places import DevicePlace
from zimage_engine.shared_state import Shared
from zimage_engine.stats import DeviceStats, WorkerState
from zimage_engine.types import DeviceLost, EngineError, ModelNotFound, Plan, PlanResult, WorkerLost
from zimage_engine.watchdog import Watchdog

log = logging.getLogger(__name__)

MakeExecutor = Callable[[DevicePlace], Executor]

BROKEN = "The device stopped working; the bot has to be restarted."

_LOSSES_MAX = 2  # executors lost in a row, without a unit done between them
_SLOW_FACTOR = 5  # a unit may take this many times its predicted seconds, if that is more than the limit
_FREEING_SECONDS = 10.0
_CHECK_SECONDS = 1.0


class Driver:
    """Drives the device of one place. ``on_end`` is called once, in any thread, when it takes no plans any more.

    ``over`` is True from then on, and ``failure`` is the error that stopped it for good, None if it was told to stop.
    ``title`` and ``stage`` are texts for people; ``stage`` is empty while nothing is being loaded. ``loading_since`` is
    when loading last began, in UTC seconds. ``was_ready`` is True once the device was loaded, ``leaving`` once it was
    told to stop although the engine goes on.
    """

    def __init__(
        self, place: DevicePlace, make_executor: MakeExecutor, shared: Shared, on_end: Callable[[Driver], None]
    ) -> None:
        self.place = place
        self.name = place.name
        self._make_executor = make_executor
        self._shared = shared
        self._changed = shared.changed
        self._on_end = on_end
        self._executor: Executor | None = None
        self._loading = False
        self._losses = 0
        self._abandoned = False
        self.leaving = False
        self.was_ready = False
        self.failure: EngineError | None = None
        self.over = False
        self.title = place.device
        self.stage = ""
        self.loading_since = time.time()
        self.restarts = 0
        self._busy_seconds = 0.0
        self._thread = threading.Thread(target=self._drive, name=f"zimage-driver-{place.name}", daemon=True)
        self._watchdog = Watchdog(self._on_hang)

    def start(self) -> None:
        self._thread.start()
        self._watchdog.start()

    def stop_loading(self) -> None:
        """End an executor that is being loaded: what comes after it is not needed any more."""
        if self._loading and (executor := self._executor) is not None:
            executor.kill()

    def drain(self) -> None:
        """End once the requests that have begun on this device have ended, or at once while it is loading."""
        with self._changed:
            self.leaving = True
            self._shared.queue.drain_device(self.name)
            self._changed.notify_all()
        self.stop_loading()

    def abandon(self) -> None:
        """End as soon as possible, and the executor, too; its requests go on elsewhere. Does not wait."""
        self._watchdog.stop()
        with self._changed:
            self.leaving = self._abandoned = True
            self._shared.remove_device(self.name)
            self._changed.notify_all()
            executor = self._executor
        if executor is not None:
            executor.kill()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the thread, ``timeout`` seconds at most. Returns False if it has not ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def state(self) -> WorkerState:
        """What the device is doing, in a word."""
        if self.failure is not None:
            return "failed"
        if not self.was_ready:
            return "loading"
        return "recovering" if self.stage else "draining" if self.leaving else "ready"

    def stats(self) -> DeviceStats:
        """Return what the device is doing. Called with the lock held."""
        executor = self._executor
        return DeviceStats(
            name=self.name,
            title=self.title,
            state=self.state,
            models=tuple(name for name in self.place.models if executor is not None and name in executor.models),
            stage=self.stage,
            running=self._shared.queue.running_on(self.name),
            busy_seconds=self._busy_seconds,
            restarts=self.restarts,
            failure="" if self.failure is None else str(self.failure),
        )

    def _drive(self) -> None:
        """Run the thread; if it breaks, its requests go on elsewhere or fail instead of waiting for ever."""
        try:
            while self._use_one_executor():
                pass
        except Exception:
            log.exception("the driver broke: device=%s", self.name)
            self._fail(DeviceLost("The engine broke; the bot has to be restarted."))
        self._watchdog.stop()
        self._end()

    def _use_one_executor(self) -> bool:
        """Load an executor and use it until it is lost or not needed. Returns True if another one is needed."""
        executor = self._make_executor(self.place)
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
                log.warning("worker lost: device=%s: %s", self.name, error)
                return self._restart_requests()
        finally:
            self._watchdog.idle()
            with self._changed:
                self._executor, self._loading = None, False
            # The device has no room for two. One that was killed while it loaded may go on for minutes.
            executor.kill(_FREEING_SECONDS if loaded else 0.0)
        return False

    def _run_plans(self, executor: Executor) -> None:
        """Launch plans and record their results until the driver has to stop. Raises if the executor is lost."""
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
            if not self._record(executor, plan, result):
                return

    def _wait_for_plan(self, executor: Executor) -> Plan | None:
        """Wait for a plan; None if the driver has to stop. Raises if the executor is lost meanwhile."""
        queue = self._shared.queue
        with self._changed:
            self._watchdog.idle()
            while not self._stops_now():
                if executor.lost is not None:
                    raise executor.lost
                if (plan := queue.next(self.name)) is not None:
                    return plan
                if self.leaving and queue.is_drained(self.name):
                    break
                if self._shared.closing and self._shared.is_empty:  # what others lose comes back
                    break
                self._changed.wait(_CHECK_SECONDS)
            return None

    def _plan_ahead(self, executor: Executor) -> Plan | None:
        """Return the plan to launch before the running one has ended, or None."""
        if not executor.ahead_seconds:
            return None
        with self._changed:
            return None if self._stops_now() else self._shared.queue.next_ahead(self.name, executor.ahead_seconds)

    def _record(self, executor: Executor, plan: Plan, result: PlanResult) -> bool:
        """Publish what follows from a plan; returns False if the plan was abandoned."""
        shared, queue = self._shared, self._shared.queue
        with self._changed:
            if not queue.is_running(self.name, plan):
                return False
            self._busy_seconds += result.seconds
            shared.publisher.publish(queue.done(self.name, plan, result))
            if result.models is not None:
                queue.use_costs(self.name, executor.costs, executor.load_seconds)
            record = queue.record
            self._changed.notify_all()  # there may be something for another device
        shared.on_progress()
        if record is not None:
            shared.observe(record, self.name, plan.model)
        return True

    def _load(self, executor: Executor) -> bool:
        """Load the executor; returns False if that failed for good. Raises if it is lost meanwhile."""
        self.stage = "loading"
        self._watchdog.begins(self.stage, self._shared.config.load_limit)
        try:
            executor.load(self._report)
        except (WorkerLost, DeviceLost):
            raise
        except EngineError as error:
            failure = error
        except Exception as error:
            log.exception("loading failed: device=%s", self.name)
            failure = ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")
        else:
            return self._begin_to_serve(executor)
        if self._stops_now():
            return False
        if self.was_ready:
            log.error("the model cannot be loaded again: device=%s: %s", self.name, failure)
            failure = DeviceLost(BROKEN)
        self._fail(failure)
        return False

    def _begin_to_serve(self, executor: Executor) -> bool:
        """Offer the loaded device to the queue; returns False if it was told to leave meanwhile."""
        with self._changed:
            self.stage, self._loading = "", False
            if self.leaving:
                return False
            self.title, self.was_ready = executor.device, True
            allowed = frozenset(self.place.models)
            self._shared.queue.add_device(self.name, executor.costs, executor.models, allowed, executor.load_seconds)
        self._shared.publisher.set_loaded()
        return True

    def _restart_requests(self) -> bool:
        """Have all started requests begin again, here or elsewhere, unless the device is given up or has to stop."""
        self._losses += 1
        if self._losses > _LOSSES_MAX:
            self._fail(DeviceLost(BROKEN))
            return False
        with self._changed:
            self.restarts += 1
            self.stage, self.loading_since = "restarting", time.time()
            self._shared.remove_device(self.name)
            self._changed.notify_all()
            return not self._stops_now()

    def _report(self, stage: str) -> None:
        """Note what loading does. Each new stage, and each word of progress, gives it the limit of a unit again."""
        if stage.partition(":")[0] != self.stage.partition(":")[0]:
            log.info("loading: %s: device=%s", stage, self.name)
        if stage != self.stage:
            self._watchdog.begins(stage, self._shared.config.load_limit)
        self.stage = stage

    def _watch(self, plan: Plan) -> None:
        self._watchdog.begins(
            plan.unit.value if plan.unit else "free memory",
            max(self._shared.config.unit_limit, _SLOW_FACTOR * plan.seconds),
        )

    def _on_hang(self) -> None:
        if (executor := self._executor) is not None:
            executor.kill()

    def _stops_now(self) -> bool:
        closes = self._shared.closing and not self._shared.draining
        return closes or self._abandoned or (self.leaving and self._loading)

    def _fail(self, error: EngineError) -> None:
        """Stop for good."""
        self.failure = error
        self._end()

    def _end(self) -> None:
        with self._changed:
            first, self.over = not self.over, True
        if first:
            self._on_end(self)
