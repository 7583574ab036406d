"""What a worker holds of a request, and of a plan that has begun."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from zimage_engine.device.model_loader import LoadedModel
from zimage_engine.device.unit_clock import UnitClock
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.previews import Previewer
from zimage_engine.types import EngineError, ImageRequest, UnitFailed

_NOT_LOADED = "The model for this picture was replaced by another one meanwhile; please try again."


@dataclass(slots=True)
class Held:
    """A request that the worker has been given. ``previews`` is False once one of its previews has failed."""

    request: ImageRequest
    scope: str
    previews: bool
    generation: Generation | None = None


@dataclass(slots=True)
class Begun:
    """What a plan has begun for the requests in ``held``: results on the device, and failures that are known already.

    ``loaded`` is the model of these requests; None if there are none, or if it is not loaded.

    ``finite`` holds what the steps returned, ``decoded`` the pictures, ``expected`` the latents for previews.
    """

    clock: UnitClock
    held: list[Held]
    loaded: LoadedModel | None
    finite: list[tuple[list[Generation], torch.Tensor]] = field(default_factory=list)
    decoded: list[tuple[Generation, torch.Tensor]] = field(default_factory=list)
    expected: list[tuple[Held, torch.Tensor]] = field(default_factory=list)
    failures: dict[str, EngineError] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    caption_tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    encoded_tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    out_of_memory: bool = False

    @property
    def model(self) -> ZImageModel:
        """The model of the requests. Raises :class:`UnitFailed` if it is not loaded."""
        if self.loaded is None:
            raise UnitFailed(_NOT_LOADED)
        return self.loaded.model

    @property
    def previewer(self) -> Previewer | None:
        """What makes their previews, if anything does."""
        return None if self.loaded is None else self.loaded.previewer
