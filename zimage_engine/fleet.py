"""The drivers of an engine's devices, which come, fail and leave while it runs; the engine fails with the last one."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from zimage_engine.driver import BROKEN, Driver, MakeExecutor
from zimage_engine.places import DevicePlace
from zimage_engine.profiles import ModelProfile
from zimage_engine.shared_state import Shared
from zimage_engine.stats import DeviceStats, EngineState
from zimage_engine.types import DeviceLost, EngineClosed, EngineError, ModelNotFound, NotAvailable

log = logging.getLogger(__name__)

_NOT_LOADED = "The model could not be loaded; the operator's log says why."


class Fleet:
    """The drivers by the names of their places. Its methods may be called in any thread.

    ``failure`` is the error that every request ends with once no device is left and none is expected. At first, some
    are expected.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._changed = shared.changed
        self._drivers: dict[str, Driver] = {}
        self._expects_more = True
        self._began = time.time()
        self._was_ready = False
        self.failure: EngineError | None = None

    def add(self, places: Sequence[DevicePlace], make_executor: MakeExecutor) -> None:
        """Begin to load a device at each place. Raises :class:`ValueError` if a name is in use."""
        with self._changed:
            if self._shared.closing:
                raise EngineClosed("The engine is shutting down; no device can be added.")
            if taken := [place.name for place in places if not self._is_free(place.name)]:
                raise ValueError(f"There is a device {taken[0]} already.")
            drivers = [Driver(place, make_executor, self._shared, self._on_end) for place in places]
            self._drivers |= {driver.name: driver for driver in drivers}
        for driver in drivers:
            driver.start()

    def drain(self, name: str) -> None:
        """Have a device take nothing new, and leave when what it has begun has ended. Ignores unknown names."""
        if (driver := self._drivers.get(name)) is not None:
            driver.drain()
            self._drop_if_over(driver)

    def remove(self, name: str, error: EngineError) -> None:
        """Give a device up now, because of ``error``: what it has begun begins again elsewhere. Ignores unknown names.

        If it was the last one, and no other is expected, the engine fails with ``error``.
        """
        with self._changed:
            driver = self._drivers.get(name)
            last = driver is not None and not driver.over and self._left() == 1 and not self._expects_more
            if last and not self._shared.closing:
                self._fail(error if isinstance(error, DeviceLost) else DeviceLost(str(error)))
        if driver is not None:
            driver.abandon()
            self._drop_if_over(driver)

    def expect_more(self, *, expected: bool) -> None:
        """Say whether devices may come later. If none is left and none is expected, the engine fails."""
        with self._changed:
            self._expects_more = expected
            self._fail_without_devices()
            self._end_unserved()

    def fail(self, error: EngineError) -> None:
        """Stop for good, since no device can be found or all of them are lost."""
        with self._changed:
            self._shared.publisher.set_loaded(error)
            self._fail(error if isinstance(error, DeviceLost) else ModelNotFound(_NOT_LOADED))

    def stop(self, *, drain: bool) -> None:
        """Have the drivers end after what they have launched, or at once while loading; with ``drain``, after all."""
        with self._changed:
            self._shared.closing, self._shared.draining = True, drain
            self._changed.notify_all()
            drivers = self.drivers
        for driver in drivers if not drain else ():
            driver.stop_loading()

    def join(self, timeout: float) -> bool:
        """Wait for the ends of all threads, ``timeout`` seconds at most. Returns False if some have not ended."""
        end = time.monotonic() + timeout
        return all(driver.join(max(0.0, end - time.monotonic())) for driver in self.drivers)

    def abandon(self, error: EngineError) -> None:
        """End every request with ``error`` now, and the threads and executors as soon as they can. Does not wait."""
        self._shared.publisher.set_loaded(error)  # if none is loaded yet
        with self._changed:
            self._shared.draining = False
            self._shared.publisher.publish(self._shared.queue.drop_all(error))
            drivers = self.drivers
        for driver in drivers:
            driver.abandon()

    @property
    def drivers(self) -> tuple[Driver, ...]:
        """Those that load, work, or have failed; not those that were told to leave and have left."""
        return tuple(self._drivers.values())

    @property
    def state(self) -> EngineState:
        """What the engine is doing, in a word."""
        if self.failure is not None:
            return "failed"
        if self._shared.closing:
            return "closed"
        states = {driver.state for driver in self.drivers}
        if states & {"ready", "draining"}:
            return "ready"
        return "recovering" if self._was_ready or "recovering" in states else "loading"

    @property
    def first_loading(self) -> Driver | None:
        """The first of the devices that are loading, if none is ready."""
        drivers = self.drivers
        if any(driver.state in ("ready", "draining") for driver in drivers):
            return None
        return next((driver for driver in drivers if driver.stage and not driver.over), None)

    @property
    def loading_since(self) -> float:
        """When the first device that is loading began to, in UTC seconds; the engine's start without one."""
        driver = self.first_loading or next(iter(self.drivers), None)
        return self._began if driver is None else driver.loading_since

    def refusal(self, profile: ModelProfile) -> NotAvailable | None:
        """Return the error of requests for a model that no device may serve that is left or expected. Called locked.

        None if one may serve it.
        """
        left = [driver.place.models for driver in self._drivers.values() if not driver.over]
        if self._expects_more or any(profile.name in models for models in left):
            return None
        return NotAvailable(f"No device for {profile.title} is left: choose another model, or try again later.")

    def stats(self) -> tuple[DeviceStats, ...]:
        """Return what each device is doing, those that have failed included. Called with the lock held."""
        return tuple(driver.stats() for driver in self._drivers.values())

    def _is_free(self, name: str) -> bool:
        return name not in self._drivers or self._drivers[name].over

    def _drop_if_over(self, driver: Driver) -> None:
        """Forget a device that had failed before it was told to leave."""
        with self._changed:
            if driver.over and self._drivers.get(driver.name) is driver and not self._shared.closing:
                del self._drivers[driver.name]

    def _left(self) -> int:
        return sum(not driver.over for driver in self._drivers.values())

    def _on_end(self, driver: Driver) -> None:
        """Take note that a driver takes no plans any more: in its own thread, once."""
        with self._changed:
            self._was_ready = self._was_ready or driver.was_ready
            try:
                self._shared.remove_device(driver.name)
            except Exception:
                log.exception("the queue broke")
                self._fail(DeviceLost("The engine broke; the bot has to be restarted."))
            left = driver.leaving and driver.failure is None and not self._shared.closing
            if left and self._drivers.get(driver.name) is driver:
                del self._drivers[driver.name]
            if driver.failure is not None:
                log.error("device failed: device=%s: %s", driver.name, driver.failure)
            self._fail_without_devices()
            self._end_unserved()
            self._changed.notify_all()

    def _fail_without_devices(self) -> None:
        """Stop for good if no device is left and none is expected."""
        failures = [driver.failure for driver in self._drivers.values() if driver.failure is not None]
        if self._left() or self._expects_more or self.failure is not None or (self._shared.closing and not failures):
            return
        losses = [failure for failure in failures if isinstance(failure, DeviceLost)]
        if losses or self._was_ready:
            self._fail(losses[-1] if losses else DeviceLost(BROKEN))
            return
        self._shared.publisher.set_loaded(failures[0] if failures else ModelNotFound(_NOT_LOADED))
        self._fail(ModelNotFound(_NOT_LOADED))

    def _end_unserved(self) -> None:
        """End the requests whose models no device may serve any more, although others go on."""
        if self._shared.closing:
            return  # they end with EngineClosed, and may begin again with the next process
        for profile in self._shared.config.profiles:
            if (error := self.refusal(profile)) is not None:
                self._shared.publisher.publish(self._shared.queue.drop_models({profile.name}, error))

    def _fail(self, error: EngineError) -> None:
        """Stop for good: end all requests, and every later one, with ``error``."""
        self.failure = error
        self._shared.publisher.publish(self._shared.queue.drop_all(error))
        if isinstance(error, DeviceLost):
            self._shared.publisher.set_loaded(error)
            self._shared.publisher.set_lost(error)
