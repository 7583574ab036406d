"""Executes plans on one device. It holds tensors by request id and knows nothing of owners, order or fairness."""

from __future__ import annotations

import gc
import logging
import time
from typing import Protocol

import torch

from zimage_engine.loading import load_components, pick_device, pick_dtype
from zimage_engine.model import Drawing, ZImageModel
from zimage_engine.profiles import ModelProfile
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

log = logging.getLogger(__name__)


class Executor(Protocol):
    """What the engine drives: a worker here, or one in another process."""

    device: str

    def execute(self, plan: Plan) -> PlanResult:
        """Do one unit; blocks. A request that fails is named in the result and fails alone."""
        ...


class Worker:
    """One model on one device."""

    def __init__(self, model: ZImageModel, device: torch.device) -> None:
        self.device = _device_name(device)
        self._model = model
        self._slots: dict[str, Drawing] = {}

    @classmethod
    def load(cls, profile: ModelProfile, device_name: str = "auto", dtype_name: str = "auto") -> Worker:
        """Load the profile's weights; takes seconds to minutes."""
        device = pick_device(device_name)
        components = load_components(profile, device, pick_dtype(device, dtype_name))
        return cls(ZImageModel(components, device), device)

    def execute(self, plan: Plan) -> PlanResult:
        """Do the plan's unit for each of its requests; failures are named in the result, never raised."""
        for request_id in plan.release:
            self._slots.pop(request_id, None)
        images: dict[str, RawImage] = {}
        failures: dict[str, EngineError] = {}
        truncated: set[str] = set()
        began = time.perf_counter()
        for request in plan.requests:
            try:
                self._run(plan.unit, request, images, truncated)
                self._model.synchronise()
            except EngineError as error:
                failures[request.id] = error
            except torch.OutOfMemoryError as error:
                failures[request.id] = self._out_of_memory(request, error)
            except Exception:
                # A fault of the model's code must not end the driver thread: this request fails, the next one runs.
                log.exception("unit failed: unit=%s request=%s", plan.unit.value, request.id)
                failures[request.id] = UnitFailed("The model failed on this picture; the operator's log says why.")
        for request_id in failures:
            self._slots.pop(request_id, None)
        return PlanResult(time.perf_counter() - began, images, failures, frozenset(truncated))

    def _run(self, unit: Unit, request: ImageRequest, images: dict[str, RawImage], truncated: set[str]) -> None:
        match unit:
            case Unit.ENCODE_TEXT:
                drawing = self._slots[request.id] = self._model.start(request)
                if drawing.positive.truncated:
                    truncated.add(request.id)
            case Unit.DENOISE:
                self._model.step(self._slots[request.id])
            case Unit.DECODE:
                images[request.id] = self._model.decode(self._slots.pop(request.id))

    def _out_of_memory(self, request: ImageRequest, error: BaseException) -> OutOfMemory:
        # The traceback's frames hold the very tensors that are to be freed.
        error.__traceback__ = None
        self._slots.pop(request.id, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return OutOfMemory(
            f"The device has too little memory for {request.width}x{request.height}; try a smaller size."
        )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, device.type)
