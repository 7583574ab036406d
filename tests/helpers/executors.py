"""Executors of a real worker that fails where prompts say it, and one that several engines use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tests.helpers.four_requests import METHODS
from zimage_engine.catalog import find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.worker import Worker
from zimage_engine.executor import Executor, ThreadExecutor, Ticket
from zimage_engine.model.previews import Previewer
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.types import ImageRequest, NumericalError, Plan, PlanResult, RawImage, Unit
from zimage_engine.weights import Report, complete_profile

FAULTS = {
    "exception": partial(RuntimeError, "the kernel is on fire"),
    "memory": partial(RuntimeError, "MPS backend out of memory (MPS allocated: 9.00 GB)"),
    "numbers": partial(NumericalError, "not finite"),
}


def faulty_prompt(unit: Unit | str, fault: str) -> str:
    """Return a prompt at which a worker of :func:`load_breakable` fails in that unit ("preview" is one, too)."""
    return f"a blue star {_mark(unit, fault)}"


def _mark(unit: Unit | str, fault: str) -> str:
    return f"[{unit.value if isinstance(unit, Unit) else unit}: {fault}]"


def load_breakable(config: EngineConfig, report: Report, ahead_seconds: float = 0.0) -> Worker:
    """Load a real worker that fails where the prompts say it: see :func:`faulty_prompt`."""
    worker = Worker.load(config, report=report)
    worker.ahead_seconds = ahead_seconds
    for unit, method in METHODS.items():
        setattr(worker.model, method, partial(_break, getattr(worker.model, method), unit))
    loaded = worker.loaded.all()[0]
    assert loaded.previewer is not None
    loaded.previewer = BreakablePreviewer(loaded.previewer, worker)  # type: ignore[assignment]
    return worker


def _break(original: Any, unit: Unit, argument: Any, *rest: Any) -> Any:
    asked = argument if isinstance(argument, list) else [argument]
    prompts = [each.prompt if isinstance(each, ImageRequest) else each.request.prompt for each in asked]
    for name, error in FAULTS.items():
        if any(_mark(unit, name) in prompt for prompt in prompts):
            raise error()
    return original(argument, *rest)


@dataclass
class BreakablePreviewer:
    """Fails while the worker holds a request whose prompt says so."""

    inner: Previewer
    worker: Worker

    def preview(self, latents: Any, allowance: float) -> tuple[RawImage | None, float]:
        for held in self.worker._held.values():
            if _mark("preview", "exception") in held.request.prompt:
                raise RuntimeError("no previews today")
        return self.inner.preview(latents, allowance)


class Reused:
    """An executor that engines use one after another: it is loaded before the first and killed after the last."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self.device, self.ahead_seconds = inner.device, inner.ahead_seconds
        self.models, self.load_seconds = inner.models, inner.load_seconds
        # An engine changes them.
        self.costs = {model: replace(costs, correction={}) for model, costs in inner.costs.items()}

    @property
    def lost(self) -> Exception | None:
        return self._inner.lost

    def load(self, report: Report) -> None:
        """Do nothing."""

    def launch(self, plan: Plan) -> Ticket:
        return self._inner.launch(plan)

    def wait(self, ticket: Ticket) -> PlanResult:
        return self._inner.wait(ticket)

    def kill(self, timeout: float = 0.0) -> None:
        """Do nothing."""


@contextmanager
def loaded_executor(kind: str, *, ahead_seconds: float = 0.0) -> Iterator[Executor]:
    """Yield a loaded "thread" or "process" with a worker of :func:`load_breakable` and the demo model."""
    profile = complete_profile(find_profile("demo"))
    # With fixed costs, batches are the same on every machine.
    config = EngineConfig(profile, "cpu", measure=False, batch_tokens=8 * 96)
    load = partial(load_breakable, config, ahead_seconds=ahead_seconds)
    executor = ThreadExecutor(load) if kind == "thread" else ProcessExecutor(load, profile.max_pixels)
    executor.load(lambda _: None)
    try:
        yield executor
    finally:
        executor.kill(10)
