"""Engines whose weights are loaded once per process; everything that has a state is new for each engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional

from zimage_engine.config import EngineConfig
from zimage_engine.device.devices import pick_device
from zimage_engine.device.loaded_models import LoadedModels
from zimage_engine.device.model_loader import LoadedModel
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.executor import Finish, ThreadExecutor, UnitWorker
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.previews import Previewer, find_previewer
from zimage_engine.places import DevicePlace
from zimage_engine.types import Plan
from zimage_engine.weights import weights_folder

_LOADED: dict[str, Worker] = {}
_LOADING, _EXECUTING = threading.Lock(), threading.Lock()


class SharedWorker(Worker):
    """A worker over weights that other workers of this process use, too: one unit at a time among all of them."""

    def begin(self, plan: Plan) -> Finish:
        with _EXECUTING:
            result = super().begin(plan)()
        return lambda: result


def load_worker(config: EngineConfig) -> Worker:
    """What ``Worker.load(config)`` returns, over weights and measured costs that are loaded once per process.

    The model's methods may be replaced and its caches filled: nobody else has them. Do not change its parts.
    """
    # What these two change is done below or by the engine itself.
    key = repr(replace(config, batch_tokens=0, unit_limit=0.0))
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = Worker.load(replace(config, batch_tokens=0))
        loaded = _LOADED[key]
    device = pick_device(config.device)
    costs = {model: replace(costs, correction={}) for model, costs in loaded.costs.items()}
    if config.batch_tokens:
        for each in costs.values():
            each.budget = config.batch_tokens
    models = [
        LoadedModel(
            each.profile,
            ZImageModel(each.model.parts, device),
            find_previewer(weights_folder(each.profile), each.model.parts.vae, config.preview_decoder, device),
        )
        for each in loaded.loaded.all()
    ]
    return SharedWorker(LoadedModels(models, costs), device, config.profile.name)


def sketching(worker: Worker) -> Worker:
    """Let the worker's model decode pictures as coarsely as previews, in a hundredth of the time; returns the worker.

    They have their sizes, and each request has its own. What they show is hard to tell.
    """
    for loaded in worker.loaded.all():
        assert loaded.previewer is not None
        loaded.model.decode = partial(_sketch, loaded.previewer)  # type: ignore[method-assign]
    return worker


@torch.inference_mode()
def _sketch(previewer: Previewer, generation: Generation) -> torch.Tensor:
    colours = previewer._decoder(generation.latents)
    size = (generation.request.height, generation.request.width)
    return functional.interpolate(colours[None], size)[0]


def start_engine(config: EngineConfig, wrap: Callable[[Worker], UnitWorker] = lambda worker: worker) -> Engine:
    """``Engine.start(config)`` with :func:`load_worker`; ``wrap`` replaces the worker or changes its model."""
    return Engine.start(config, in_thread(lambda: wrap(load_worker(config))))


def in_thread(load: Callable[[], UnitWorker]) -> Callable[[DevicePlace], ThreadExecutor]:
    """Return what makes the executors of an engine: threads with the worker that ``load`` returns."""
    return lambda place: ThreadExecutor(lambda report: load())
