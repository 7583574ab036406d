"""Executes plans on one device. Holds tensors by request id and knows nothing of owners, order or fairness."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

import torch

from zimage_engine.config import EngineConfig
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.begun import Begun, Held
from zimage_engine.device.calibration import known_costs, warm_up
from zimage_engine.device.devices import pick_device, title_of
from zimage_engine.device.loading import load_components, load_stepping_down, plans_for
from zimage_engine.device.memory import MemoryPlan
from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.device.unit_clock import SideStream, UnitClock
from zimage_engine.executor import Finish, out_of_memory
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.previews import TIME_SHARE_MAX, Previewer, find_previewer
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
)
from zimage_engine.weights import Report, weights_folder

log = logging.getLogger(__name__)

_AHEAD_SECONDS = 0.5
"""On a GPU, units up to this long are queued one ahead: the processor's part of a step takes some milliseconds."""

_BROKEN_UNIT = "The model failed on this picture; the operator's log says why."


class Worker:
    """One model on one device: a :class:`zimage_engine.executor.UnitWorker`.

    :meth:`begin` is called by one thread, and what it returns by one other thread, in the same order.
    """

    def __init__(
        self,
        model: ZImageModel,
        device: torch.device,
        costs: Mapping[str, CostModel],
        previewer: Previewer | None = None,
    ) -> None:
        self.device = title_of(device)
        self.costs = costs
        self.models = frozenset(costs)
        self.load_seconds: Mapping[str, float] = {}
        self.ahead_seconds = _AHEAD_SECONDS if device.type == "cuda" else 0.0
        self.model = model
        self._device = device
        self._previewer = previewer
        self._held: dict[str, Held] = {}
        self._failed = False
        self._side_stream = SideStream(device)
        self._lock = threading.Lock()  # both threads change what is held, and the model's cache of embeddings

    @classmethod
    def load(cls, config: EngineConfig, place: DevicePlace | None = None, report: Report = lambda _: None) -> Worker:
        """Load the profile's weights and measure what a unit costs here; takes seconds to minutes.

        ``place`` is the first one of the configuration's by default. Calls ``report`` with a few words on what it is
        doing. Raises :class:`EngineError`.
        """
        place = place or parse_places(config.device, config.profiles)[0]
        if place.threads:
            torch.set_num_threads(place.threads)
        device = pick_device(place.device)
        folder = weights_folder(config.profile, report)
        plans = plans_for(folder, device, config.dtype)
        return load_stepping_down(plans, lambda plan: cls._load(config, folder, device, plan, report))

    @classmethod
    def _load(
        cls, config: EngineConfig, folder: Path, device: torch.device, plan: MemoryPlan, report: Report
    ) -> Worker:
        acceleration = Acceleration(config.attention, config.compiled)
        name = ", ".join(filter(None, (title_of(device), str(plan), str(acceleration))))
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
        return cls(
            model, device, {config.profile.name: costs}, load_previewer(folder, model, config.preview_decoder, device)
        )

    def begin(self, plan: Plan) -> Finish:
        """Start the plan's unit. Failures of requests stand in the result and are not raised."""
        with self._lock:
            self._update(plan)
        if plan.ahead and self._failed:
            return partial(PlanResult, 0.0, skipped=True)
        if plan.unit is None:
            return partial(PlanResult, 0.0)
        with self._lock:
            # A request that failed while this plan was on its way is held no longer.
            held = [self._held[name] for name in plan.ids if name in self._held]
            begun = Begun(UnitClock(self._device), held)
            try:
                self._run(plan.unit, held, begun)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                begun.failures = self._out_of_memory([each.request for each in held], error)
                begun.out_of_memory = True
            else:
                self._note_expected(plan.unit, held, begun)
        begun.clock.end()
        self._failed = bool(begun.failures)
        return partial(self._finish, begun)

    def _update(self, plan: Plan) -> None:
        """Free what the plan releases, and take in its new requests."""
        for name in plan.release:
            self._held.pop(name, None)
        for scope in plan.forget:
            self.model.forget(scope)
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
        if unit is Unit.ENCODE_TEXT:
            for each in held:
                self._start(each, begun)
            return
        generations = [each.generation for each in held if each.generation is not None]
        match unit:
            case Unit.ENCODE_IMAGE:
                for generation in generations:
                    self.model.read_image(generation)
            case Unit.DENOISE:
                if generations:
                    begun.finite.append((generations, self.model.step(generations)))
            case Unit.DECODE:
                begun.decoded += [(generation, self.model.decode(generation)) for generation in generations]
            case Unit.LOAD_MODEL:
                raise NotImplementedError  # it holds one model
            case _:
                assert_never(unit)

    def _start(self, held: Held, begun: Begun) -> None:
        generation = held.generation = self.model.start(held.request, held.scope)
        prompts = [generation.positive] if generation.negative is None else [generation.positive, generation.negative]
        begun.encoded_tokens[held.request.id] = generation.encoded_tokens
        begun.caption_tokens[held.request.id] = tuple(prompt.tokens for prompt in prompts)
        if generation.positive.truncated:
            begun.truncated.add(held.request.id)

    def _note_expected(self, unit: Unit, held: Sequence[Held], begun: Begun) -> None:
        """Keep the latents for previews: the next step replaces them. The last step's picture is decoded next."""
        if self._previewer is None or unit is not Unit.DENOISE:
            return
        for each in held:
            generation = each.generation
            if not each.previews or generation is None or generation.step == each.request.steps:
                continue
            if generation.expected is not None:
                begun.expected.append((each, generation.expected))

    def _finish(self, begun: Begun) -> PlanResult:
        """Wait for what has begun, and read its results. Raises if the device is lost."""
        seconds = begun.clock.wait()
        images: dict[str, RawImage] = {}
        with self._side_stream.use():
            self._check_steps(begun)
            for generation, decoded in begun.decoded:
                self._read_picture(generation, decoded, images, begun)
            previews, spent = self._preview(begun, seconds)
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
                    begun.failures |= self.model.failures(generations, flags)

    def _read_picture(
        self, generation: Generation, decoded: torch.Tensor, images: dict[str, RawImage], begun: Begun
    ) -> None:
        request = generation.request
        try:
            images[request.id] = self.model.to_image(generation, decoded)
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

    def _preview(self, begun: Begun, seconds: float) -> tuple[dict[str, RawImage], float]:
        """Return the previews there is time for, and the seconds that they took."""
        previews: dict[str, RawImage] = {}
        total = 0.0
        for held, expected in begun.expected:
            generation, name = held.generation, held.request.id
            if self._previewer is None or generation is None or name in begun.failures:
                continue
            generation.preview_allowance += TIME_SHARE_MAX * seconds / len(begun.expected)
            try:
                image, spent = self._previewer.preview(expected, generation.preview_allowance)
            except Exception:
                # The picture itself goes on.
                log.exception("a preview failed; no more of them for request=%s", name)
                held.previews = False
                continue
            generation.preview_allowance -= spent
            total += spent
            if image is not None:
                previews[name] = image
        return previews, total

    def _out_of_memory(self, requests: Iterable[ImageRequest], error: BaseException) -> dict[str, EngineError]:
        """Free what can be freed; returns the error of each request."""
        # The traceback's frames hold the tensors that have to be freed.
        error.__traceback__ = None
        self.model.forget_caches()
        free_memory()
        return {request.id: out_of_memory(request) for request in requests}


def load_previewer(folder: Path, model: ZImageModel, tiny: str | None, device: torch.device) -> Previewer | None:
    """Return the model's previewer; None if there is none or if it fails, since pictures need no previews."""
    try:
        return find_previewer(folder, model.parts.vae, tiny, device)
    except Exception:
        log.exception("previews cannot be made with this model and decoder; there are none")
        return None
