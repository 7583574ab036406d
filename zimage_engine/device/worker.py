"""Executes plans on one device. Holds tensors by request id and knows nothing of owners, order or fairness."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import assert_never

import torch

from zimage_engine.config import EngineConfig
from zimage_engine.device.begun import Begun, Held
from zimage_engine.device.devices import pick_device, title_of
from zimage_engine.device.loaded_models import LoadedModels
from zimage_engine.device.model_loader import LoadedModel, ModelLoader
from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.device.unit_clock import SideStream, UnitClock
from zimage_engine.device.unit_previews import make_previews, note_expected
from zimage_engine.executor import Finish, out_of_memory
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.places import DevicePlace, parse_places
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.types import (
    EngineError,
    ImageRequest,
    Plan,
    PlanResult,
    RawImage,
    Unit,
    UnitFailed,
    WorkerLost,
)
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

_AHEAD_SECONDS = 0.5
"""On a GPU, units up to this long are queued one ahead: the processor's part of a step takes some milliseconds."""

_FINISHING_SECONDS = 600.0
"""How long loading a model waits for the results of what has begun; a unit that takes longer keeps its own model."""

_BROKEN_UNIT = "The model failed on this picture; the operator's log says why."


class Worker:
    """The models on one device: a :class:`zimage_engine.executor.UnitWorker`.

    :meth:`begin` is called by one thread, and what it returns by one other thread, in the same order. ``default`` is
    the name of the model of requests that name none.
    """

    def __init__(self, loaded: LoadedModels, device: torch.device, default: str) -> None:
        self.device = title_of(device)
        self.ahead_seconds = _AHEAD_SECONDS if device.type == "cuda" else 0.0
        self.loaded = loaded
        self._device = device
        self._default = default
        self._held: dict[str, Held] = {}
        self._failed = False
        self._side_stream = SideStream(device)
        self._lock = threading.Lock()  # both threads change what is held, and the models' caches of embeddings
        self._unfinished = 0
        self._finished = threading.Condition()
        self._show_models()

    @classmethod
    def load(cls, config: EngineConfig, place: DevicePlace | None = None, report: Report = lambda _: None) -> Worker:
        """Load the place's first model, and those of the others that fit beside it; takes seconds to minutes.

        Downloads the weights of all of them, and measures what units cost here. ``place`` is the first one of the
        configuration's by default. Calls ``report`` with a few words on what it is doing. Raises :class:`EngineError`.
        """
        place = place or parse_places(config.device, config.profiles)[0]
        if place.threads:
            torch.set_num_threads(place.threads)
        device = pick_device(place.device)
        profiles = {profile.name: profile for profile in config.profiles}
        loader = ModelLoader(config, [profiles[name] for name in place.models], device, place, report)
        loaded = LoadedModels.start(loader)
        loader.report = log.info  # a model that is loaded later holds up the queue, and not the start
        return cls(loaded, device, config.profile.name)

    @property
    def model(self) -> ZImageModel:
        """The model that was used last."""
        return self.loaded.all()[-1].model

    def begin(self, plan: Plan) -> Finish:
        """Start the plan's unit. Failures of requests stand in the result and are not raised.

        Raises :class:`WorkerLost` if no model is left.
        """
        with self._lock:
            self._update(plan)
        if plan.ahead and self._failed:
            return partial(PlanResult, 0.0, skipped=True)
        if plan.unit is None:
            return partial(PlanResult, 0.0)
        if plan.unit is Unit.LOAD_MODEL:
            return self._load_model(plan)
        with self._lock:
            # A request that failed while this plan was on its way is held no longer.
            held = [self._held[name] for name in plan.ids if name in self._held]
            begun = Begun(UnitClock(self._device), held, self._find_model(held))
            try:
                self._run(plan.unit, held, begun)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                begun.failures = self._out_of_memory([each.request for each in held], error)
                begun.out_of_memory = True
            else:
                note_expected(plan.unit, begun)
        begun.clock.end()
        self._failed = bool(begun.failures)
        with self._finished:
            self._unfinished += 1
        return partial(self._finish, begun)

    def _find_model(self, held: Sequence[Held]) -> LoadedModel | None:
        """Return the model of these requests, which is the same for all; None if it is not loaded."""
        names = {each.request.model or self._default for each in held}
        loaded = self.loaded.find(names.pop()) if len(names) == 1 else None
        if loaded is None and held:
            log.error("a unit for requests whose model is not loaded: %s", [each.request.id for each in held])
        return loaded

    def _load_model(self, plan: Plan) -> Finish:
        """Load the plan's model before this returns; if that fails, the plan's request does."""
        with self._finished:  # what has begun may need a model that has to go
            self._finished.wait_for(lambda: not self._unfinished, _FINISHING_SECONDS)
        began, failures = time.perf_counter(), dict[str, EngineError]()
        with self._lock:
            try:
                self.loaded.load(plan.model or self._default)
            except WorkerLost:
                raise
            except EngineError as error:
                error.__traceback__ = None
                failures = dict.fromkeys(plan.ids, error)
            self._show_models()
        self._failed = bool(failures)
        return partial(PlanResult, time.perf_counter() - began, failures=failures, models=self.models)

    def _show_models(self) -> None:
        self.costs: Mapping[str, CostModel] = self.loaded.costs
        self.load_seconds: Mapping[str, float] = self.loaded.load_seconds
        self.models = self.loaded.names

    def _update(self, plan: Plan) -> None:
        """Free what the plan releases, and take in its new requests."""
        for name in plan.release:
            self._held.pop(name, None)
        for scope in plan.forget:
            for loaded in self.loaded.all():
                loaded.model.forget(scope)
        for new in plan.new:
            self._held[new.request.id] = Held(new.request, new.scope, new.request.previews)

    def _run(self, unit: Unit, held: Sequence[Held], begun: Begun) -> None:
        """Start the unit for all requests; after an error for each alone, so that only the cause of it fails."""
        failure = self._try(unit, held, begun)
        if failure is None:
            return
        if len(held) == 1:
            begun.failures[held[0].request.id] = failure
            return
        for each in held:
            try:
                self._run(unit, (each,), begun)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # The others may have moved on, so the unit cannot be planned again as a whole.
                begun.failures |= self._out_of_memory((each.request,), error)

    def _try(self, unit: Unit, held: Sequence[Held], begun: Begun) -> EngineError | None:
        """Start the unit for all requests at once. Returns the error that prevented it; raises if out of memory."""
        try:
            self._do(unit, held, begun)
        except EngineError as error:
            error.__traceback__ = None
            return error
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # A bug in the model's code must not end the worker: this request fails and the next one runs.
            log.exception("unit failed: unit=%s requests=%s", unit.value, [each.request.id for each in held])
            return UnitFailed(_BROKEN_UNIT)
        return None

    def _do(self, unit: Unit, held: Sequence[Held], begun: Begun) -> None:
        """Call the model's method for the unit and put what it returns into ``begun``."""
        model = begun.model
        if unit is Unit.ENCODE_TEXT:
            for each in held:
                self._start(each, begun)
            return
        generations = [each.generation for each in held if each.generation is not None]
        match unit:
            case Unit.ENCODE_IMAGE:
                for generation in generations:
                    model.read_image(generation)
            case Unit.DENOISE:
                if generations:
                    begun.finite.append((generations, model.step(generations)))
            case Unit.DECODE:
                begun.decoded += [(generation, model.decode(generation)) for generation in generations]
            case Unit.LOAD_MODEL:
                raise AssertionError("no unit of a model")
            case _:
                assert_never(unit)

    def _start(self, held: Held, begun: Begun) -> None:
        generation = held.generation = begun.model.start(held.request, held.scope)
        prompts = [generation.positive] if generation.negative is None else [generation.positive, generation.negative]
        begun.encoded_tokens[held.request.id] = generation.encoded_tokens
        begun.caption_tokens[held.request.id] = tuple(prompt.tokens for prompt in prompts)
        if generation.positive.truncated:
            begun.truncated.add(held.request.id)

    def _finish(self, begun: Begun) -> PlanResult:
        """Wait for what has begun, and read its results. Raises if the device is lost."""
        try:
            return self._result(begun)
        finally:
            begun.loaded = None  # so that it can be freed
            with self._finished:
                self._unfinished -= 1
                self._finished.notify_all()

    def _result(self, begun: Begun) -> PlanResult:
        seconds = begun.clock.wait()
        images: dict[str, RawImage] = {}
        with self._side_stream.use():
            self._check_steps(begun)
            for generation, decoded in begun.decoded:
                self._read_picture(generation, decoded, images, begun)
            previews, spent = make_previews(begun, seconds)
        if not begun.out_of_memory:
            self._drop([each for each in begun.held if each.request.id in begun.failures.keys() | images.keys()])
        return PlanResult(
            seconds=seconds + spent,
            images=images,
            failures=begun.failures,
            truncated=frozenset(begun.truncated),
            caption_tokens=begun.caption_tokens,
            encoded_tokens=begun.encoded_tokens,
            out_of_memory=begun.out_of_memory,
            previews=previews,
        )

    def _drop(self, ended: Sequence[Held]) -> None:
        """Free what is held of requests that have failed or got their image; a new one may have the same id."""
        if not ended:
            return  # without waiting for the unit that is begun meanwhile
        with self._lock:
            for each in ended:
                if self._held.get(each.request.id) is each:
                    del self._held[each.request.id]

    def _check_steps(self, begun: Begun) -> None:
        for generations, finite in begun.finite:
            flags = finite.cpu()
            if not flags.all():
                with self._lock:
                    begun.failures |= begun.model.failures(generations, flags)

    def _read_picture(
        self, generation: Generation, decoded: torch.Tensor, images: dict[str, RawImage], begun: Begun
    ) -> None:
        request = generation.request
        try:
            images[request.id] = begun.model.to_image(generation, decoded)
        except EngineError as error:
            error.__traceback__ = None
            begun.failures[request.id] = error
        except Exception as error:
            if is_out_of_memory(error):
                with self._lock:
                    begun.failures |= self._out_of_memory((request,), error)
            else:
                log.exception("reading a picture failed: request=%s", request.id)
                begun.failures[request.id] = UnitFailed(_BROKEN_UNIT)

    def _out_of_memory(self, requests: Iterable[ImageRequest], error: BaseException) -> dict[str, EngineError]:
        """Free what can be freed; returns the error of each request."""
        # The traceback's frames hold the tensors that have to be freed.
        error.__traceback__ = None
        for loaded in self.loaded.all():
            loaded.model.forget_caches()
        free_memory()
        return {request.id: out_of_memory(request) for request in requests}
