"""The engine's interface for asyncio: submit, cancel, events, stats, close. One driver thread for the device."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Hashable
from functools import partial
from types import TracebackType
from typing import Self

from zimage_engine.config import WEIGHT_MAX, WEIGHT_MIN, EngineConfig, base_request
from zimage_engine.driver import Driver, MakeExecutor
from zimage_engine.executor import load_executor
from zimage_engine.handle import Handle
from zimage_engine.places import parse_places
from zimage_engine.profiles import ModelProfile
from zimage_engine.publisher import Publisher
from zimage_engine.scheduling.forecast import Forecaster
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.stats import EngineState, EngineStats, Observer
from zimage_engine.types import EngineClosed, EngineError, ImageRequest, InvalidRequest

log = logging.getLogger(__name__)


class Engine:
    """One model on one device, and the queue of requests for it.

    Create it with :meth:`start` inside a running event loop and end it with :meth:`close`, or use it as an asynchronous
    context manager, which waits until the model is loaded and closes the engine at the end::

        profile = complete_profile(find_profile("demo"))
        async with Engine.start(EngineConfig(profile)) as engine:
            finished = await engine.submit(profile.request("a red circle"), owner="me").result()
        finished.image.to_pil().save("circle.png")

    Its methods never wait for the device, except those that are coroutines. Call them on the event loop in which the
    engine was started.
    """

    def __init__(
        self,
        config: EngineConfig,
        make_executor: MakeExecutor | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._config = config
        profile = config.profile
        model = QueueModel(profile.size_multiple**2, profile.image_patches, base_request(profile))
        self._queue = RequestQueue(scheduler or Scheduler(), {profile.name: model})
        self._publisher = Publisher()
        self._changed = threading.Condition()
        make_executor = make_executor or partial(load_executor, config)
        place = parse_places(config.device, config.profiles)[0]
        self._forecaster = Forecaster(self._changed, self._queue, self._publisher.publish)
        self._driver = Driver(
            config, place, make_executor, self._queue, self._publisher, self._changed, self._forecaster.notify
        )

    @classmethod
    def start(
        cls,
        config: EngineConfig,
        make_executor: MakeExecutor | None = None,
        scheduler: Scheduler | None = None,
    ) -> Engine:
        """Begin to load the model in a thread and return the engine at once; requests may be submitted meanwhile.

        ``make_executor`` and ``scheduler`` replace what runs the model and who goes first, for tests.

        Raises ``RuntimeError`` without a running event loop. That the model cannot be loaded is raised by
        :meth:`ready`.
        """
        engine = cls(config, make_executor, scheduler)
        engine._driver.start()
        engine._forecaster.start()
        return engine

    async def __aenter__(self) -> Self:
        try:
            await self.ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def profile(self) -> ModelProfile:
        """The profile of the configuration: what the model can do, and its defaults."""
        return self._config.profile

    async def ready(self) -> None:
        """Wait until the model is loaded: seconds for a small model, minutes for a large one, longer for a download.

        Raises the :class:`EngineError` that prevented it: :class:`ModelNotFound`, :class:`DeviceNotFound`,
        :class:`NotAvailable`, :class:`OutOfMemory`, :class:`NumericalError`, :class:`DeviceLost` or
        :class:`EngineClosed`.
        """
        await asyncio.shield(self._publisher.loaded)

    async def lost(self) -> EngineError:
        """Wait until the device is lost, which may be never. Returns the error that every request then ends with."""
        return await asyncio.shield(self._publisher.lost)

    def submit(
        self,
        request: ImageRequest,
        *,
        owner: Hashable,
        group: Hashable = None,
        weight: float = 1.0,
        group_weight: float = 1.0,
    ) -> Handle:
        """Queue a request and return its handle. Never waits.

        ``owner`` is whoever asks: any hashable value, such as a user's id. Groups share the device, and the owners of a
        group share what the group gets, in proportion to their weights; each is 0.001 to 1000. Without a ``group`` all
        owners are in one.

        Raises :class:`InvalidRequest` if the model cannot do it, the id is that of a request that has not ended, or a
        weight is out of range; :class:`EngineClosed` after :meth:`close`; and the error that stopped the engine.
        """
        self._config.profile_of(request).check(request)
        if not all(WEIGHT_MIN <= each <= WEIGHT_MAX for each in (weight, group_weight)):
            raise InvalidRequest(
                f"A weight is not between {WEIGHT_MIN:g} and {WEIGHT_MAX:g}: {weight}, {group_weight}."
            )
        handle = Handle(request, self._cancel)
        with self._changed:
            if self._driver.failure is not None:
                raise self._driver.failure
            if self._driver.closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            try:
                events = self._queue.submit(request, owner, weight, group, group_weight)
            except ValueError as error:
                raise InvalidRequest(str(error)) from error
            self._publisher.add(handle)
            self._publisher.publish(events)
            self._changed.notify_all()
        return handle

    def seconds_alone(self, request: ImageRequest) -> float:
        """Return the predicted seconds of a request on an idle device; a rough guess until the device is measured."""
        return self._queue.predictions.seconds_alone(request)

    @property
    def state(self) -> EngineState:
        """What the engine is doing now, in a word; see :data:`EngineState`."""
        if self._driver.failure is not None:
            return "failed"
        if self._driver.closing:
            return "closed"
        if not self._publisher.loaded.done():
            return "loading"
        return "recovering" if self._driver.stage else "ready"

    @property
    def stage(self) -> str:
        """What loading is doing, in a few words; empty while nothing is being loaded."""
        return self._driver.stage

    @property
    def loading_since(self) -> float:
        """When the model last began to be loaded, in seconds since 1970 (UTC)."""
        return self._driver.loading_since

    def stats(self) -> EngineStats:
        """Return the counts of requests and what the engine is doing now."""
        with self._changed:
            queue = self._queue
            return EngineStats(
                state=self.state,
                device=self._driver.device,
                model=self._config.profile.title,
                waiting=queue.waiting,
                running=queue.running,
                finished=queue.finished,
                failed=queue.failed,
                busy_seconds=queue.busy_seconds,
                stage=self._driver.stage,
                restarts=self._driver.restarts,
            )

    def observe(self, observer: Observer) -> None:
        """Have ``observer`` called with a :class:`UnitRecord` after each unit, in the engine's thread.

        It must be quick; what it raises is logged. A later call replaces the observer.
        """
        self._driver.observer = observer

    def forget(self, owner: Hashable) -> None:
        """Drop the embeddings of the owner's earlier prompts, which are kept so that they need not be encoded again."""
        with self._changed:
            self._queue.forget(owner)
            self._changed.notify_all()

    async def close(self, *, drain: bool = False, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - for a thread
        """Stop after the units that are running, or with ``drain`` after all requests.

        Waits for ``timeout`` seconds at most. Requests that are left fail with :class:`EngineClosed`, at once if the
        caller is cancelled. May be called more than once.
        """
        self._driver.stop(drain=drain)
        self._forecaster.stop()
        try:
            await asyncio.to_thread(self._driver.join, timeout)
            if not self._driver.ended:
                log.warning("the running unit did not end within %s s; it is abandoned", timeout)
        finally:
            self._driver.abandon(EngineClosed("The bot is restarting; please ask again in a minute."))

    def _cancel(self, request_id: str) -> None:
        with self._changed:
            self._publisher.publish(self._queue.cancel(request_id))
