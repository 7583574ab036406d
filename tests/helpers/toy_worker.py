"""A worker without a model, for tests of the process that it runs in. Importing this loads no torch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.faults import Immediate
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import ImageRequest, Plan, PlanResult, RawImage, Unit
from zimage_engine.weights import Report


@dataclass
class Toy(Immediate):
    """A worker without a model, whose prompts say what happens to the device at the first step.

    "once" limits that to the first worker in ``folder``, which also gets a file for each scope to forget.
    Pictures have one colour, the seed's.
    """

    folder: Path
    costs: Mapping[str, CostModel] = field(default_factory=lambda: {"demo": CostModel()})
    held: dict[str, ImageRequest] = field(default_factory=dict)

    def execute(self, plan: Plan) -> PlanResult:
        for name in plan.release:
            self.held.pop(name, None)
        for scope in plan.forget:
            (self.folder / f"forgot {scope}").touch()
        self.held |= {new.request.id: new.request for new in plan.new}
        asks = [self.held[name] for name in plan.ids]
        if plan.unit is Unit.DENOISE:
            for ask in asks:
                self._have_an_accident(ask.prompt)
        images = {}
        if plan.unit is Unit.DECODE:
            images = {ask.id: _one_colour(self.held.pop(ask.id)) for ask in asks}
        texts = dict.fromkeys(plan.ids, (20,)) if plan.unit is Unit.ENCODE_TEXT else {}
        return PlanResult(1e-3, images, caption_tokens=texts)

    def _have_an_accident(self, prompt: str) -> None:
        if "once" in prompt:
            try:
                (self.folder / prompt).touch(exist_ok=False)
            except FileExistsError:
                return
        if "hang" in prompt:
            time.sleep(1000)
        if "die" in prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in prompt:
            raise RuntimeError("CUDA error: device-side assert triggered")


class SwappingToy(Toy):
    """A toy that holds one model at a time, and measures one when it is loaded."""

    def execute(self, plan: Plan) -> PlanResult:
        if plan.unit is not Unit.LOAD_MODEL:
            return super().execute(plan)
        self.models = frozenset({plan.model})
        self.costs = {**self.costs, plan.model: CostModel(linear=0.5)}
        self.load_seconds = dict.fromkeys(self.costs, 4.0)
        return PlanResult(1e-3, models=self.models)


def load_swapping_toy(folder: Path, report: Report) -> Toy:
    """Load a :class:`SwappingToy` with the model ``demo``, beside which it may have ``second``."""
    return SwappingToy(folder, {"demo": CostModel(), "second": CostModel()})


def _one_colour(ask: ImageRequest) -> RawImage:
    return RawImage(ask.width, ask.height, bytes([ask.seed % 256]) * (3 * ask.width * ask.height))


def load_toy(folder: Path, report: Report, stages: tuple[str, ...] = (), *, hang: bool = False) -> Toy:
    """Load a :class:`Toy`; with ``hang`` the first load in ``folder`` never ends."""
    for stage in stages:
        report(stage)
    (folder / f"pid {os.getpid()}").touch()
    if hang and not (folder / "hung").exists():
        (folder / "hung").touch()
        time.sleep(1000)
    return Toy(folder)
