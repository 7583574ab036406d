"""What runs on a node of the cluster: an actor that holds a worker. Imports neither Ray nor, before it loads, torch."""

from __future__ import annotations

import logging
import logging.handlers
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zimage_engine.cluster.fingerprint import Fingerprint, engine_hash, files_of, local_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.child import Loaded, LoadFailed, Lost, ModelsChanged
from zimage_engine.executor import ThreadExecutor, load_worker
from zimage_engine.places import DevicePlace
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import EngineError, ModelNotFound, Plan, PlanResult
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

_NEWS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an actor loads: ``package`` is the engine's folder on the machine that sends it."""

    config: EngineConfig
    place: DevicePlace
    package: Path
    level: int

    def localized(self) -> EngineConfig:
        """Return the configuration for this machine: other folders, the same models."""
        config = self.config
        cache = config.cache_dir
        if cache is not None and not cache.is_dir():
            cache = Path.home() / ".cache" / "zimage-bot"
        return replace(
            config,
            profile=local_profile(config.profile, self.package),
            other_profiles=tuple(local_profile(each, self.package) for each in config.other_profiles),
            cache_dir=cache,
            device=self.place.device,
        )

    def load(self, report: Report) -> object:
        """Load the worker. Raises :class:`EngineError`."""
        return load_worker(self.localized(), self.place, report)


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """The result of a plan that loads a model, and what has changed of the worker since the last one."""

    result: PlanResult
    changed: ModelsChanged


class DeviceActor:
    """A worker on one device of a node: executes plans in the order of their numbers.

    Ray calls :meth:`run` in two threads, so that a second plan is there when the first one ends, and :meth:`news` in a
    third one, whose answer also says that this process is alive.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._news: deque[object] = deque(maxlen=_NEWS_MAX)
        self._executor = ThreadExecutor(assignment.load)  # type: ignore[arg-type]
        self._sent: Mapping[str, CostModel] = {}
        self._next = 0
        self._turn = threading.Condition()
        logging.basicConfig(handlers=[_ToNews(self._news)], format="%(message)s", level=assignment.level, force=True)
        logging.captureWarnings(capture=True)

    def fingerprint(self) -> Fingerprint | LoadFailed:
        """Return what has to be the same on all machines. Downloads weights that are not there."""
        config = self._assignment.localized()
        try:
            files = {profile.name: files_of(profile, self._news.append) for profile in config.profiles}
            return Fingerprint(engine_hash(), _dtype(config, self._assignment.place), files)
        except EngineError as error:
            return LoadFailed(error)

    def load(self) -> Loaded | LoadFailed:
        """Load the worker; takes seconds to minutes, in which :meth:`news` says what it does."""
        try:
            self._executor.load(self._news.append)
        except EngineError as error:
            return LoadFailed(error)
        except Exception as error:
            log.exception("loading failed")
            return LoadFailed(
                ModelNotFound(f"The model could not be loaded ({type(error).__name__}: {str(error)[:200]}).")
            )
        executor = self._executor
        self._sent = executor.costs
        return Loaded(executor.device, executor.costs, executor.models, executor.load_seconds, executor.ahead_seconds)

    def run(self, number: int, plan: Plan) -> PlanResult | ModelLoaded | Lost:
        """Execute the plan after those with lower numbers, and return its result."""
        with self._turn:
            self._turn.wait_for(lambda: self._next == number)
            ticket = self._executor.launch(plan)
            self._next += 1
            self._turn.notify_all()
        try:
            result = self._executor.wait(ticket)
        except EngineError as error:
            return Lost(str(error))
        if result.models is None:
            return result
        changed = ModelsChanged.since(self._sent, self._executor)
        self._sent = self._executor.costs
        return ModelLoaded(result, changed)

    def status(self) -> dict[str, object]:
        """Return what a person wants to know of this worker."""
        executor = self._executor
        return {
            "name": self._assignment.place.name,
            "title": executor.device or "loading",
            "models": sorted(executor.models),
            "plans": self._next,
        }

    def news(self) -> list[object]:
        """Return stages of loading and log records since the last call."""
        news: list[object] = []
        while self._news:
            news.append(self._news.popleft())
        return news


class _ToNews(logging.handlers.QueueHandler):
    """Keeps log records, with their tracebacks as text, for :meth:`DeviceActor.news`."""

    def __init__(self, news: deque[object]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._news = news

    def enqueue(self, record: logging.LogRecord) -> None:
        self._news.append(record)


def _dtype(config: EngineConfig, place: DevicePlace) -> str:
    """Return the type of the weights at this place with the memory that is free now."""
    from zimage_engine.device.devices import pick_device  # noqa: PLC0415 - imports torch
    from zimage_engine.device.loading import plan_for  # noqa: PLC0415
    from zimage_engine.device.memory import FULL_WIDTH  # noqa: PLC0415
    from zimage_engine.weights import weights_folder  # noqa: PLC0415

    plan = plan_for(weights_folder(config.profile), pick_device(place.device), config.dtype, place)
    return "float32" if plan.width == FULL_WIDTH else "bfloat16"
