"""A device whose faults are switched on and off while the bot runs. The engine and its worker stay the real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor, Ticket, load_executor, out_of_memory
from zimage_engine.places import DevicePlace
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import ImageRequest, OutOfMemory, Plan, PlanResult, Unit
from zimage_engine.weights import Report

SECONDS_PER_UNIT_MAX = 60.0
"""The slowest device. A tenth of the time after which the engine takes a device for hung."""
_CHECK_SECONDS = 0.05

MakeExecutor = Callable[[DevicePlace], Executor]


class FaultOn(RuntimeError):
    """A fault was switched on that is on already."""


class DeviceFaults:
    """The faults of the devices of every engine that :meth:`start_engine` starts, so that they outlast a restart.

    Its context managers are for the event loop; executors read the attributes in the engine's threads.
    ``seconds_per_unit`` is what each unit takes longer, 0 unless the device is slow. ``memory_short`` is True until the
    next picture has failed.
    """

    def __init__(self) -> None:
        self.seconds_per_unit = 0.0
        self.memory_short = False
        self._executors: dict[str, _FaultyExecutor] = {}

    def start_engine(self, config: EngineConfig, make_executor: MakeExecutor | None = None) -> Engine:
        """Start an engine that has these faults: a :data:`bot.services.StartEngine`.

        ``make_executor`` is what :meth:`Engine.start` takes; by default the executor is the one that ``config`` names.
        """
        make = make_executor or partial(load_executor, config)

        def make_faulty(place: DevicePlace) -> Executor:
            executor = self._executors[place.name] = _FaultyExecutor(make(place), self)
            return executor

        return Engine.start(config, make_faulty)

    @contextmanager
    def slow(self, seconds_per_unit: float) -> Iterator[None]:
        """Have each unit take this much longer. A unit that waits when this ends goes on at once.

        What the engine has learned of the device's speed meanwhile is forgotten at the end. Raises
        :class:`ValueError` for more than :data:`SECONDS_PER_UNIT_MAX`, and :class:`FaultOn`.
        """
        if not 0 < seconds_per_unit <= SECONDS_PER_UNIT_MAX:
            raise ValueError(
                f"A unit can be slower by up to {SECONDS_PER_UNIT_MAX:g} seconds, not by {seconds_per_unit:g}."
            )
        if self.seconds_per_unit:
            raise FaultOn("The device is slow already.")
        for executor in tuple(self._executors.values()):
            executor.note_correction()
        self.seconds_per_unit = seconds_per_unit
        try:
            yield
        finally:
            self.seconds_per_unit = 0.0
            for executor in tuple(self._executors.values()):
                executor.restore_correction()

    @contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """Have the next picture that begins fail at its first step. After it, or at the end, there is enough memory.

        Raises :class:`FaultOn` while no picture has failed.
        """
        if self.memory_short:
            raise FaultOn("The device will run out of memory on the next picture already.")
        self.memory_short = True
        try:
            yield
        finally:
            self.memory_short = False


@dataclass(frozen=True, slots=True)
class _Launched:
    """What was launched, and what is added to its result: failures by request id."""

    unit: Unit | None
    failures: dict[str, OutOfMemory]


class _FaultyExecutor:
    """An executor with the faults of a :class:`DeviceFaults`.

    Its ``ahead_seconds`` are 0, so that what a fault does to one plan cannot concern another that is launched already.
    """

    device = ""
    ahead_seconds = 0.0

    def __init__(self, inner: Executor, faults: DeviceFaults) -> None:
        self.costs: Mapping[str, CostModel] = {}
        self.models: frozenset[str] = frozenset()
        self.load_seconds: Mapping[str, float] = {}
        self._inner = inner
        self._faults = faults
        self._failing: ImageRequest | None = None
        self._launched: dict[Ticket, _Launched] = {}
        self._correction: dict[str, dict[Unit, float]] = {}
        self._killed = threading.Event()

    @property
    def lost(self) -> Exception | None:
        return self._inner.lost

    def load(self, report: Report) -> None:
        """See :meth:`Executor.load`."""
        self._inner.load(report)
        self._read_costs()
        self.note_correction()

    def launch(self, plan: Plan) -> Ticket:
        """See :meth:`Executor.launch`. A plan is launched without the request that is to fail."""
        failing = self._find_failing(plan)
        failures: dict[str, OutOfMemory] = {}
        if failing is not None:
            self._failing, self._faults.memory_short = None, False
            failures[failing.id] = out_of_memory(failing)
            rest = tuple(name for name in plan.ids if name not in failures)
            plan = replace(plan, unit=plan.unit if rest else None, ids=rest)
        ticket = self._inner.launch(plan)
        self._launched[ticket] = _Launched(plan.unit, failures)
        return ticket

    def wait(self, ticket: Ticket) -> PlanResult:
        """See :meth:`Executor.wait`."""
        launched, result = self._launched.pop(ticket), self._inner.wait(ticket)
        if result.models is not None:
            self._read_costs()
        seconds = result.seconds if launched.unit is None else result.seconds + self._wait_longer()
        return replace(result, seconds=seconds, failures={**result.failures, **launched.failures})

    def kill(self, timeout: float = 0.0) -> None:
        """See :meth:`Executor.kill`."""
        self._killed.set()
        self._inner.kill(timeout)

    def note_correction(self) -> None:
        """Remember what the engine has learned of the device's speed."""
        self._correction = {model: dict(costs.correction) for model, costs in self.costs.items()}

    def restore_correction(self) -> None:
        """Forget what the engine has learned of the device's speed since :meth:`note_correction`."""
        for model, correction in self._correction.items():
            self.costs[model].correction = dict(correction)

    def _read_costs(self) -> None:
        self.device, self.costs = self._inner.device, self._inner.costs
        self.models, self.load_seconds = self._inner.models, self._inner.load_seconds

    def _find_failing(self, plan: Plan) -> ImageRequest | None:
        """Return the request of this plan that fails now: the first that began with too little memory."""
        if not self._faults.memory_short or (self._failing is not None and self._failing.id in plan.release):
            self._failing = None
        if self._faults.memory_short and self._failing is None and plan.new:
            self._failing = plan.new[0].request
        fails_now = plan.unit is Unit.DENOISE and self._failing is not None and self._failing.id in plan.ids
        return self._failing if fails_now else None

    def _wait_longer(self) -> float:
        """Wait as long as the device is slow, until :meth:`kill`.

        Returns the seconds; 0 if the device is no longer slow, since the engine must not learn from them any more.
        """
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < self._faults.seconds_per_unit:
            if self._killed.wait(_CHECK_SECONDS):
                break
        return seconds if self._faults.seconds_per_unit else 0.0
