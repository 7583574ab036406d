"""What the requests in a queue are predicted to take, corrected by what they took. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.estimates import (
    caption_tokens,
    step_samples,
    step_tokens,
    texts_of,
    unit_seconds,
    units_of,
)
from zimage_engine.scheduling.known_prompts import TextTracker
from zimage_engine.scheduling.tasks import Task
from zimage_engine.scheduling.tokens import padded, text_tokens
from zimage_engine.types import ImageRequest, PlanResult, Unit


@dataclass(frozen=True, slots=True)
class QueueModel:
    """What is known of a model before it is loaded. ``pixels_per_token`` is the area of one image token in pixels.

    ``patches`` is as in :func:`zimage_engine.scheduling.estimates.caption_tokens`. ``base`` is the request that costs
    one credit.
    """

    pixels_per_token: int
    patches: int = 0
    base: ImageRequest | None = None


class Predictions:
    """Predicts the units of the requests that were added, on each device and on the *reference device*.

    Work is counted in seconds of the reference device, so that it does not matter which device does it: of the devices
    that are there, it is the one that came first. ``costs`` are its costs by model; for a model that it cannot serve,
    those of the first device that can. When no device is left, the last costs stay.
    """

    def __init__(self, models: Mapping[str, QueueModel]) -> None:
        self.costs: dict[str, CostModel] = {name: CostModel() for name in models}
        self._models = models
        self._default = next(iter(models))
        self._devices: dict[str, Mapping[str, CostModel]] = {}
        self._reference: str | None = None
        self._texts = TextTracker()

    def add_device(self, device: str, costs: Mapping[str, CostModel]) -> float | None:
        """Add a device, or replace its costs. Returns as :meth:`remove_device` does."""
        if device not in self._devices:
            self._texts.add_device(device)
        self._devices[device] = costs
        return self._find_reference()

    def remove_device(self, device: str) -> float | None:
        """Remove a device. Returns the seconds of the present reference device that one of the former counts as.

        None if the costs of the reference device are what they were.
        """
        self._texts.remove_device(device)
        del self._devices[device]
        return self._find_reference()

    def burst(self) -> float | None:
        """Return the reference seconds of the default model's base request; None if there is none."""
        base = self._models[self._default].base
        return None if base is None else self.seconds_alone(base)

    def pace(self, device: str) -> dict[str, float]:
        """Return how many times longer than the reference device this one takes, by model."""
        return {
            name: self._base_seconds(name, costs) / self._base_seconds(name, self.costs[name])
            for name, costs in self._devices[device].items()
            if name in self._models
        }

    def model_of(self, request: ImageRequest) -> str:
        """Return the name of the model that the request needs."""
        return request.model or self._default

    def add(self, request: ImageRequest, scope: str) -> None:
        """Add a request whose embeddings are shared within ``scope``."""
        self._texts.add(request.id, scope, texts_of(request))

    def remove(self, request_id: str) -> None:
        """Remove a request that has ended; ignores unknown ids."""
        self._texts.remove(request_id)

    def seconds_alone(self, request: ImageRequest) -> float:
        """Return the seconds of any request on an idle device that has not encoded its texts."""
        seconds = self._unit_seconds(request, [text_tokens(text) for text in texts_of(request)])
        return sum(seconds[unit] for unit in units_of(request))

    def unit_seconds(self, request: ImageRequest) -> dict[Unit, float]:
        """Return the reference seconds of one unit of each kind of a request that was added."""
        return self._unit_seconds(request, self._texts.new_tokens(request.id))

    def unit_seconds_on(self, device: str, request: ImageRequest) -> dict[Unit, float]:
        """Return the seconds that a unit of each kind takes on a device."""
        costs = self._devices[device][self.model_of(request)]
        return self._unit_seconds(request, self._texts.new_tokens(request.id, device), costs)

    def has_other_texts(self, device: str, request: ImageRequest) -> bool:
        """Return True if the device has texts of the request to encode that another device has encoded."""
        return len(self._texts.new_tokens(request.id)) < len(self._texts.new_tokens(request.id, device))

    def unit_seconds_for(self, device: str, request: ImageRequest) -> dict[Unit, float]:
        """Return the reference seconds of one unit of each kind, with the texts that the device has to encode."""
        return self._unit_seconds(request, self._texts.new_tokens(request.id, device))

    def new_task(
        self, request: ImageRequest, owner: Hashable, weight: float, group: Hashable, group_weight: float
    ) -> Task:
        """Return the task of a request that was added, for a caption of the estimated length."""
        name = self.model_of(request)
        model = self._models[name]
        caption = caption_tokens(request, model.pixels_per_token, model.patches)
        image, samples = step_tokens(request, model.pixels_per_token, 0), step_samples(request)
        return Task(
            id=request.id,
            owner=owner,
            weight=weight,
            group=group,
            group_weight=group_weight,
            units=units_of(request),
            costs=self.unit_seconds(request),
            shape=(name, image, samples),
            tokens=image + caption,
            texts=self._texts.keys(request.id),
            samples=samples,
            model=name,
        )

    def key(self, task: Task, request: ImageRequest, captions: Sequence[int]) -> tuple[Hashable, int, float]:
        """Return the task's key, the tokens and the seconds of a step, now that the captions' lengths are known."""
        lengths = [padded(tokens) for tokens in captions]
        tokens = step_tokens(request, self._models[task.model].pixels_per_token, max(lengths))
        return (task.shape, *lengths), tokens, self.costs[task.model].step(tokens, task.samples)

    def text_encoded(self, request_id: str, device: str) -> set[str]:
        """Note that a device has encoded a request's texts. Returns the requests that may take less time now."""
        return self._texts.encoded(request_id, device)

    def texts_forgotten(self, scope: str) -> set[str]:
        """Note that a scope's embeddings are gone. Returns the requests that may take longer now."""
        return self._texts.forget(scope)

    def texts_dropped(self, device: str) -> set[str]:
        """Note that a device has dropped all embeddings. Returns the requests that may take longer now."""
        return self._texts.clear(device)

    def learn(self, device: str, model: str, unit: Unit, predicted: float, result: PlanResult) -> None:
        """Correct a device's costs by a unit's seconds; those of texts by what the encoder really ran on."""
        costs = self._devices[device][model]
        if unit is Unit.ENCODE_TEXT:
            predicted = costs.encode([tokens for texts in result.encoded_tokens.values() for tokens in texts])
        costs.observe(unit, predicted, result.seconds)

    def _unit_seconds(
        self, request: ImageRequest, new_texts: Sequence[int], costs: CostModel | None = None
    ) -> dict[Unit, float]:
        name = self.model_of(request)
        model = self._models[name]
        caption = caption_tokens(request, model.pixels_per_token, model.patches)
        return unit_seconds(request, costs or self.costs[name], model.pixels_per_token, caption, new_texts)

    def _find_reference(self) -> float | None:
        """Choose the reference device. Returns as :meth:`remove_device` does."""
        if not self._devices:
            return None
        former, costs_before = self._reference, self.costs
        reference = former if former in self._devices else next(iter(self._devices))
        assert reference is not None
        self._reference = reference
        self.costs = dict(costs_before)
        for costs in reversed([self._devices[reference], *self._devices.values()]):
            self.costs.update((name, costs[name]) for name in self._models if name in costs)
        if all(self.costs[name] is costs for name, costs in costs_before.items()):
            return None
        if former in {None, reference}:
            return 1.0
        name = self._default
        return self._base_seconds(name, self.costs[name]) / self._base_seconds(name, costs_before[name])

    def _base_seconds(self, model: str, costs: CostModel) -> float:
        base = self._models[model].base
        if base is None:
            return costs.step(1024)
        return sum(
            self._unit_seconds(base, [text_tokens(text) for text in texts_of(base)], costs)[unit]
            for unit in units_of(base)
        )
