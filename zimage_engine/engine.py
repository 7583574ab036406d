"""The asyncio face of the engine: submit, cancel, events, stats, close. One driver thread for the device."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from functools import partial

from zimage_engine.profiles import ModelProfile
from zimage_engine.scheduler import Published, Scheduler
from zimage_engine.types import (
    Cancelled,
    DeviceLost,
    EngineClosed,
    EngineError,
    EngineStats,
    Event,
    Failed,
    Finished,
    ImageRequest,
    InvalidRequest,
    ModelNotFound,
    Progress,
    Terminal,
)
from zimage_engine.worker import Executor, Worker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """A complete profile (see ``loading.complete_profile``), and where and how to run it; ``auto`` chooses."""

    profile: ModelProfile
    device: str = "auto"
    dtype: str = "auto"


class Handle:
    """One request seen from the event loop: the latest progress, then exactly one terminal event.

    Iterate it once: progress that was overtaken is skipped, and the iterator ends after the terminal event.
    """

    def __init__(self, request: ImageRequest, cancel: Callable[[str], None]) -> None:
        self.request = request
        self._cancel = cancel
        self._progress: Progress | None = None
        self._terminal: Terminal | None = None
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True once the terminal event has come."""
        return self._terminal is not None

    def cancel(self) -> None:
        """Stop at the end of the unit that is running; a no-op once the request has ended."""
        if self._terminal is None:
            self._cancel(self.request.id)

    def deliver(self, event: Event) -> None:
        """Called on the event loop by the engine."""
        if isinstance(event, Finished | Failed | Cancelled):
            self._terminal = self._terminal or event
        else:
            self._progress = event
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            progress, self._progress = self._progress, None
            if progress is not None and self._terminal is None:
                yield progress
            if self._terminal is not None:
                self._changed.set()
                yield self._terminal
                return

    async def result(self) -> Finished:
        """Wait for the picture; raises the request's :class:`EngineError`, or ``CancelledError`` where cancelled."""
        terminal: Event | None = None
        async for event in self:
            terminal = event
        if isinstance(terminal, Finished):
            return terminal
        if isinstance(terminal, Failed):
            raise terminal.error
        raise asyncio.CancelledError


class Engine:
    """The image engine. Make it with :meth:`start` inside a running event loop, end it with :meth:`close`."""

    def __init__(self, config: EngineConfig, make_worker: Callable[[], Executor]) -> None:
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._make_worker = make_worker
        self._scheduler = Scheduler()
        self._handles: dict[str, Handle] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._draining = False
        self._failure: EngineError | None = None
        self._device = "loading"
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._drive, name="zimage-driver", daemon=True)

    @classmethod
    def start(cls, config: EngineConfig, make_worker: Callable[[], Executor] | None = None) -> Engine:
        """Begin loading in the driver's thread and return at once; requests may be submitted meanwhile."""
        load = make_worker or (lambda: Worker.load(config.profile, config.device, config.dtype))
        engine = cls(config, load)
        engine._thread.start()
        return engine

    @property
    def profile(self) -> ModelProfile:
        return self._config.profile

    async def ready(self) -> None:
        """Wait until the model is loaded; raises the :class:`EngineError` that prevented it."""
        await asyncio.shield(self._loaded)

    def submit(self, request: ImageRequest, *, owner: Hashable) -> Handle:
        """Queue a request. Raises :class:`InvalidRequest` or, where the engine cannot run it, its own error."""
        self._config.profile.check(request)
        handle = Handle(request, self._cancel)
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            try:
                events = self._scheduler.submit(request, owner)
            except ValueError as error:
                raise InvalidRequest(str(error)) from error
            self._handles[request.id] = handle
            self._publish(events)
            self._changed.notify_all()
        return handle

    def stats(self) -> EngineStats:
        """What the engine is doing now; never waits for the device."""
        with self._changed:
            scheduler = self._scheduler
            return EngineStats(
                state=self._state(),
                device=self._device,
                model=self._config.profile.title,
                waiting=scheduler.waiting,
                running=scheduler.running,
                finished=scheduler.finished,
                failed=scheduler.failed,
                busy_seconds=scheduler.busy_seconds,
            )

    async def close(self, *, drain: bool = False, timeout: float = 10.0) -> None:
        """End after the running unit, or with ``drain`` after everything queued; waits ``timeout`` seconds at most.

        What is left fails with :class:`EngineClosed`.
        """
        with self._changed:
            self._closing, self._draining = True, drain
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join, timeout)
        if self._thread.is_alive():
            log.warning("the running unit did not end within %s s; it is abandoned", timeout)
        self._end_all(EngineClosed("The bot is restarting; please ask again in a minute."))

    def _state(self) -> str:
        if self._failure is not None:
            return "failed"
        if self._closing:
            return "closed"
        return "ready" if self._loaded.done() else "loading"

    def _cancel(self, request_id: str) -> None:
        with self._changed:
            self._publish(self._scheduler.cancel(request_id))

    def _drive(self) -> None:
        """The driver's thread: load, then plan, execute, book, until closed."""
        worker = self._load()
        if worker is None:
            return
        while True:
            with self._changed:
                while (plan := None if self._stops_now() else self._scheduler.next()) is None:
                    if self._closing:
                        return
                    self._changed.wait()
            try:
                result = worker.execute(plan)
            except Exception:
                # The worker itself is broken, not one request: nothing more can be drawn in this process.
                log.exception("worker lost")
                self._fail(DeviceLost("The device stopped working; the bot has to be restarted."))
                return
            with self._changed:
                if not self._scheduler.is_running(plan):
                    return  # close() gave this unit up
                self._publish(self._scheduler.done(plan, result))

    def _stops_now(self) -> bool:
        return self._closing and not self._draining

    def _load(self) -> Executor | None:
        try:
            worker = self._make_worker()
        except EngineError as error:
            failure = error
        except Exception as error:
            log.exception("loading failed")
            failure = ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")
        else:
            self._device = worker.device
            self._call(partial(self._set_loaded, None))
            return worker
        self._call(partial(self._set_loaded, failure))
        self._fail(ModelNotFound("The model could not be loaded; the operator's log says why."))
        return None

    def _fail(self, error: EngineError) -> None:
        """From now on nothing can be drawn: what waits and what comes ends with ``error``."""
        with self._changed:
            self._failure = error
            self._publish(self._scheduler.drop_all(error))

    def _set_loaded(self, failure: EngineError | None) -> None:
        if self._loaded.done():
            return
        if failure is None:
            self._loaded.set_result(None)
        else:
            self._loaded.set_exception(failure)
            self._loaded.exception()  # seen: whoever waits is told, and nobody need wait

    def _end_all(self, error: EngineError) -> None:
        with self._changed:
            self._publish(self._scheduler.drop_all(error))

    def _publish(self, events: Published) -> None:
        """Hand events to their handles on the event loop; the lock is held, so they arrive in order."""
        for request_id, event in events:
            handle = self._handles[request_id]
            if isinstance(event, Finished | Failed | Cancelled):
                del self._handles[request_id]
            self._call(partial(handle.deliver, event))

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop was closed under the engine: nobody is left to be told.
            log.debug("event loop closed; an event was dropped")
