"""What the requests in a queue are predicted to take, corrected by what they took. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
    """Predicts the units of the requests that were added. ``costs`` may be replaced."""

    def __init__(self, costs: CostModel, model: QueueModel) -> None:
        self.costs = costs
        self._pixels_per_token = model.pixels_per_token
        self._patches = model.patches
        self._texts = TextTracker()

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
        """Return the seconds of one unit of each kind of a request that was added."""
        return self._unit_seconds(request, self._texts.new_tokens(request.id))

    def new_task(
        self, request: ImageRequest, owner: Hashable, weight: float, group: Hashable, group_weight: float
    ) -> Task:
        """Return the task of a request that was added, for a caption of the estimated length."""
        caption = caption_tokens(request, self._pixels_per_token, self._patches)
        image, samples = step_tokens(request, self._pixels_per_token, 0), step_samples(request)
        return Task(
            id=request.id,
            owner=owner,
            weight=weight,
            group=group,
            group_weight=group_weight,
            units=units_of(request),
            costs=self.unit_seconds(request),
            shape=(image, samples),
            tokens=image + caption,
            texts=self._texts.keys(request.id),
            samples=samples,
        )

    def key(self, task: Task, request: ImageRequest, captions: Sequence[int]) -> tuple[Hashable, int, float]:
        """Return the task's key, the tokens and the seconds of a step, now that the captions' lengths are known."""
        lengths = [padded(tokens) for tokens in captions]
        tokens = step_tokens(request, self._pixels_per_token, max(lengths))
        return (task.shape, *lengths), tokens, self.costs.step(tokens, task.samples)

    def text_encoded(self, request_id: str) -> set[str]:
        """Note that a request's texts are encoded. Returns the requests whose text unit takes less time now."""
        return self._texts.encoded(request_id)

    def texts_forgotten(self, scope: str | None = None) -> set[str]:
        """Note that a scope's embeddings, or all of them, are gone. Returns the requests that may take longer now."""
        return self._texts.clear() if scope is None else self._texts.forget(scope)

    def learn(self, unit: Unit, predicted: float, result: PlanResult) -> None:
        """Correct the costs by a unit's seconds; those of texts by what the encoder really ran on."""
        if unit is Unit.ENCODE_TEXT:
            predicted = self.costs.encode([tokens for texts in result.encoded_tokens.values() for tokens in texts])
        self.costs.observe(unit, predicted, result.seconds)

    def _unit_seconds(self, request: ImageRequest, new_texts: Sequence[int]) -> dict[Unit, float]:
        caption = caption_tokens(request, self._pixels_per_token, self._patches)
        return unit_seconds(request, self.costs, self._pixels_per_token, caption, new_texts)
