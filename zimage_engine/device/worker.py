"""Executes plans on one device. Holds tensors by request id and knows nothing of owners, order or fairness."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import torch

from zimage_engine.config import EngineConfig
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.calibration import known_costs, warm_up
from zimage_engine.device.loading import load_components, pick_device, plan_for
from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.previews import TIME_SHARE_MAX, Previewer, find_previewer
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import (
    EngineError,
    ImageRequest,
    OutOfMemory,
    Plan,
    PlanResult,
    RawImage,
    Unit,
    UnitFailed,
)
from zimage_engine.weights import Report, weights_folder

log = logging.getLogger(__name__)


class Worker:
    """One model on one device: an :class:`zimage_engine.executor.Executor` in this process."""

    def __init__(
        self, model: ZImageModel, device: torch.device, costs: CostModel, previewer: Previewer | None = None
    ) -> None:
        self.device = _device_name(device)
        self.costs = costs
        self.model = model
        self._previewer = previewer
        self._generations: dict[str, Generation] = {}

    @classmethod
    def load(cls, config: EngineConfig, report: Report = lambda _: None) -> Worker:
        """Load the profile's weights and measure what a unit costs here; takes seconds to minutes.

        Calls ``report`` with a few words on what it is doing. Raises :class:`EngineError`.
        """
        device = pick_device(config.device)
        folder = weights_folder(config.profile, report)
        plan = plan_for(folder, device, config.dtype)
        acceleration = Acceleration(config.attention, config.compiled)
        name = ", ".join(filter(None, (_device_name(device), str(plan), str(acceleration))))
        log.info("loading %s on %s", config.profile.title, name)
        model = ZImageModel(load_components(folder, device, plan, acceleration, report), device)
        if config.compiled:
            report("compiling")
            warm_up(model, config.profile)
        costs = CostModel()
        if config.measure:
            report("measuring the device")
            costs = known_costs(model, config.profile, name, config.cache_dir)
        if config.batch_tokens:
            costs.budget = config.batch_tokens
        previewer = find_previewer(folder, model.parts.vae, config.preview_decoder, device)
        return cls(model, device, costs, previewer)

    def execute(self, plan: Plan) -> PlanResult:
        """Do the plan's unit for its requests. Failures stand in the result and are not raised."""
        for request_id in plan.release:
            self._generations.pop(request_id, None)
        outcome = _Outcome()
        began = time.perf_counter()
        try:
            self._run(plan.unit, plan.requests, outcome)
            self.model.synchronise()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            outcome = self._out_of_memory(plan.requests, error)
        else:
            for request_id in (*outcome.failures, *outcome.images):  # an image ends its request
                self._generations.pop(request_id, None)
            self._preview(plan, outcome, time.perf_counter() - began)
        return PlanResult(
            seconds=time.perf_counter() - began,
            images=outcome.images,
            failures=outcome.failures,
            truncated=frozenset(outcome.truncated),
            caption_tokens=outcome.caption_tokens,
            out_of_memory=outcome.out_of_memory,
            previews=outcome.previews,
        )

    def _preview(self, plan: Plan, outcome: _Outcome, seconds: float) -> None:
        """Add previews for the requests that want them and have time left for one."""
        if self._previewer is None or plan.unit is not Unit.DENOISE:
            return
        for request in plan.requests:
            generation = self._generations.get(request.id)
            if generation is None or generation.expected is None or generation.step == request.steps:
                continue  # failed, wants no preview, or is decoded next
            generation.preview_allowance += TIME_SHARE_MAX * seconds / len(plan.requests)
            image, spent = self._previewer.preview(generation.expected, generation.preview_allowance)
            generation.preview_allowance -= spent
            if image is not None:
                outcome.previews[request.id] = image

    def _run(self, unit: Unit, requests: Sequence[ImageRequest], outcome: _Outcome) -> None:
        """Do the unit for all requests; after an error for each alone, so that only the cause of it fails."""
        failure = self._try(unit, requests, outcome)
        if failure is None:
            return
        if len(requests) == 1:
            outcome.failures[requests[0].id] = failure
            return
        for request in requests:
            try:
                self._run(unit, (request,), outcome)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # The others may have moved on, so the unit cannot be planned again as a whole.
                outcome.failures |= self._out_of_memory((request,), error).failures

    def _try(self, unit: Unit, requests: Sequence[ImageRequest], outcome: _Outcome) -> EngineError | None:
        """Do the unit for all requests at once. Returns the error that prevented it; raises if out of memory."""
        try:
            self._do(unit, requests, outcome)
        except EngineError as error:
            error.__traceback__ = None
            return error
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # A bug in the model's code must not end the driver thread: this request fails and the next one runs.
            log.exception("unit failed: unit=%s requests=%s", unit.value, [request.id for request in requests])
            return UnitFailed("The model failed on this picture; the operator's log says why.")
        return None

    def _do(self, unit: Unit, requests: Sequence[ImageRequest], outcome: _Outcome) -> None:
        """Call the model's method for the unit and put what it returns into ``outcome``."""
        match unit:
            case Unit.ENCODE_TEXT:
                for request in requests:
                    self._start(request, outcome)
            case Unit.ENCODE_IMAGE:
                for request in requests:
                    self.model.read_image(self._generations[request.id])
            case Unit.DENOISE:
                generations = [self._generations[request.id] for request in requests]
                outcome.failures |= self.model.failures(generations, self.model.step(generations))
            case Unit.DECODE:
                for request in requests:
                    generation = self._generations[request.id]
                    outcome.images[request.id] = self.model.to_image(generation, self.model.decode(generation))
            case _:
                assert_never(unit)

    def _start(self, request: ImageRequest, outcome: _Outcome) -> None:
        generation = self._generations[request.id] = self.model.start(request)
        prompts = [generation.positive] if generation.negative is None else [generation.positive, generation.negative]
        outcome.caption_tokens[request.id] = tuple(prompt.tokens for prompt in prompts)
        if generation.positive.truncated:
            outcome.truncated.add(request.id)

    def _out_of_memory(self, requests: Sequence[ImageRequest], error: BaseException) -> _Outcome:
        # The traceback's frames hold the tensors that have to be freed.
        error.__traceback__ = None
        self.model.forget_caches()
        free_memory()
        failures: dict[str, EngineError] = {
            request.id: OutOfMemory(
                f"The device has too little memory for {request.width}x{request.height}; try a smaller size."
            )
            for request in requests
        }
        return _Outcome(failures=failures, out_of_memory=True)


@dataclass(slots=True)
class _Outcome:
    """The parts of a :class:`PlanResult`, while the plan is executed."""

    images: dict[str, RawImage] = field(default_factory=dict)
    failures: dict[str, EngineError] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    caption_tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    out_of_memory: bool = False
    previews: dict[str, RawImage] = field(default_factory=dict)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, device.type)
