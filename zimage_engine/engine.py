"""The engine's interface for asyncio: submit, cancel, events, stats, close. One driver thread for each device."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Self

import psutil

from zimage_engine.config import WEIGHT_MAX, WEIGHT_MIN, EngineConfig, base_request
from zimage_engine.driver import MakeExecutor
from zimage_engine.executor import load_executor
from zimage_engine.fleet import Fleet
from zimage_engine.handle import Handle
from zimage_engine.places import DevicePlace, parse_places, share_memory, share_threads
from zimage_engine.profiles import ModelProfile
from zimage_engine.publisher import Publisher
from zimage_engine.scheduling.forecast import Forecaster
from zimage_engine.scheduling.predictions import QueueModel
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.shared_state import Shared
from zimage_engine.stats import DeviceStats, EngineState, EngineStats, Observer
from zimage_engine.types import EngineClosed, EngineError, ImageRequest, InvalidRequest, NotAvailable

log = logging.getLogger(__name__)


class Engine:
    """Models on one or several devices, and the one queue of requests for them.

    Create it with :meth:`start` inside a running event loop and end it with :meth:`close`, or use it as an asynchronous
    context manager, which waits until the model is loaded and closes the engine at the end::

        profile = complete_profile(find_profile("demo"))
        async with Engine.start(EngineConfig(profile)) as engine:
            finished = await engine.submit(profile.request("a red circle"), owner="me").result()
        finished.image.to_pil().save("circle.png")

    Its methods never wait for the device, except those that are coroutines. Call them on the event loop in which the
    engine was started.
    """

    def __init__(self, config: EngineConfig, scheduler: Scheduler | None = None) -> None:
        self._config = config
        models = {
            profile.name: QueueModel(profile.size_multiple**2, profile.image_patches, base_request(profile))
            for profile in config.profiles
        }
        self._queue = RequestQueue(scheduler or Scheduler(), models)
        self._publisher = Publisher()
        self._changed = threading.Condition()
        self._forecaster = Forecaster(self._changed, self._queue, self._publisher.publish)
        self._shared = Shared(config, self._queue, self._publisher, self._changed, self._forecaster.notify)
        self._fleet = Fleet(self._shared)

    @classmethod
    def start(
        cls,
        config: EngineConfig,
        make_executor: MakeExecutor | None = None,
        scheduler: Scheduler | None = None,
        places: Sequence[DevicePlace] | None = None,
    ) -> Engine:
        """Begin to load the model on each device and return the engine at once; requests may be submitted meanwhile.

        ``make_executor`` and ``scheduler`` replace what runs a model and who goes first, for tests. ``places`` replaces
        those that the configuration's ``device`` names; without any, devices are expected to be added later.

        Raises ``RuntimeError`` without a running event loop, and :class:`DeviceNotFound` if ``device`` cannot be
        understood. That the model cannot be loaded is raised by :meth:`ready`.
        """
        if places is None and config.device.strip().lower() != "all":
            parsed = parse_places(config.device, config.profiles)
            if not any(place.share > 1 and place.device.startswith("cuda") for place in parsed):
                places = parsed  # else the memory of the card is to be divided, so it is looked at
        engine = cls(config, scheduler)
        if places is None:
            threading.Thread(target=engine._add_all, args=(make_executor,), name="zimage-finder", daemon=True).start()
        elif places:
            engine._add(places, make_executor)
            engine._fleet.expect_more(expected=False)
        engine._forecaster.start()
        return engine

    def _add(
        self,
        places: Sequence[DevicePlace],
        make_executor: MakeExecutor | None,
        gpus_free: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Add the places of this machine, whose GPUs have so many bytes free."""
        places = share_memory(places, psutil.virtual_memory().available, gpus_free)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._fleet.add(share_threads(places, cores), make_executor or partial(load_executor, self._config))

    def _add_all(self, make_executor: MakeExecutor | None) -> None:
        """Find the devices of this machine and add them; blocks for seconds."""
        from zimage_engine.device.probe import probe  # noqa: PLC0415 - needed for this setting alone

        try:
            devices = probe().devices
            places = parse_places(self._config.device, self._config.profiles, [device.name for device in devices])
            gpus = {device.name: device.memory_free for device in devices if device.kind == "cuda"}
            self._add(places, make_executor, gpus)
        except EngineClosed:
            return
        except EngineError as error:
            self._fleet.fail(error)
        except Exception as error:
            log.exception("the devices could not be looked for")
            self._fleet.fail(NotAvailable(f"The devices of this machine cannot be found ({type(error).__name__})."))
        self._fleet.expect_more(expected=False)

    def add_device(self, place: DevicePlace, make_executor: MakeExecutor | None = None) -> None:
        """Begin to load a model at one more place; it takes requests as soon as it is ready. From any thread.

        Raises :class:`ValueError` if its name is in use, and :class:`EngineClosed`.
        """
        self._fleet.add([place], make_executor or partial(load_executor, replace(self._config, worker="process")))

    def drain_device(self, name: str) -> None:
        """Have a device take no new request, and remove it when those that it has begun have ended. From any thread."""
        self._fleet.drain(name)

    def remove_device(self, name: str, error: EngineError) -> None:
        """Give a device up at once: what it has begun begins again on the others. From any thread.

        If it is the last one, and no other one is expected, the engine ends with ``error``.
        """
        self._fleet.remove(name, error)

    def expect_devices(self, *, expected: bool) -> None:
        """Say whether devices may be added later: requests wait for them if none is left. From any thread."""
        self._fleet.expect_more(expected=expected)

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

    @property
    def profiles(self) -> tuple[ModelProfile, ...]:
        """The profiles of all models that requests may name, the default one first."""
        return self._config.profiles

    async def ready(self) -> None:
        """Wait until the first device is ready: seconds for a small model, minutes for a large one or a download.

        Raises the :class:`EngineError` that prevented it on all of them: :class:`ModelNotFound`,
        :class:`DeviceNotFound`, :class:`NotAvailable`, :class:`OutOfMemory`, :class:`NumericalError`,
        :class:`DeviceLost` or :class:`EngineClosed`.
        """
        await asyncio.shield(self._publisher.loaded)

    async def lost(self) -> EngineError:
        """Wait until no device is left, which may be never. Returns the error that every request then ends with."""
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
        profile = self._config.profile_of(request)
        profile.check(request)
        if not all(WEIGHT_MIN <= each <= WEIGHT_MAX for each in (weight, group_weight)):
            raise InvalidRequest(
                f"A weight is not between {WEIGHT_MIN:g} and {WEIGHT_MAX:g}: {weight}, {group_weight}."
            )
        handle = Handle(request, self._cancel)
        with self._changed:
            if self._fleet.failure is not None:
                raise self._fleet.failure
            if self._shared.closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            if (error := self._fleet.refusal(profile)) is not None:
                raise error
            try:
                events = self._queue.submit(request, owner, weight, group, group_weight)
            except ValueError as problem:
                raise InvalidRequest(str(problem)) from problem
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
        return self._fleet.state

    @property
    def stage(self) -> str:
        """What loading is doing, in a few words; empty once a device is ready."""
        driver = self._fleet.first_loading
        return "" if driver is None else driver.stage

    @property
    def loading_since(self) -> float:
        """When the model last began to be loaded, in seconds since 1970 (UTC)."""
        return self._fleet.loading_since

    def stats(self) -> EngineStats:
        """Return the counts of requests and what the engine and each device are doing now."""
        with self._changed:
            queue, devices = self._queue, self._fleet.stats()
            return EngineStats(
                state=self.state,
                device=_titles(devices) or "loading",
                model=", ".join(profile.title for profile in self._config.profiles),
                waiting=queue.waiting,
                running=queue.running,
                finished=queue.finished,
                failed=queue.failed,
                busy_seconds=queue.busy_seconds,
                stage=self.stage,
                restarts=sum(device.restarts for device in devices),
                devices=devices,
            )

    def observe(self, observer: Observer) -> None:
        """Have ``observer`` called with a :class:`UnitRecord` after each unit, in the thread of its device.

        It must be quick; what it raises is logged. A later call replaces the observer.
        """
        self._shared.observer = observer

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
        self._fleet.stop(drain=drain)
        self._forecaster.stop()
        try:
            if not await asyncio.to_thread(self._fleet.join, timeout):
                log.warning("the running unit did not end within %s s; it is abandoned", timeout)
        finally:
            self._fleet.abandon(EngineClosed("The bot is restarting; please ask again in a minute."))

    def _cancel(self, request_id: str) -> None:
        with self._changed:
            self._publisher.publish(self._queue.cancel(request_id))


def _titles(devices: Sequence[DeviceStats]) -> str:
    """Return the names for people of the devices that were loaded, such as "2 × CPU"."""
    counts = Counter(device.title for device in devices if device.state != "loading")
    return ", ".join(title if count == 1 else f"{count} × {title}" for title, count in counts.items())
