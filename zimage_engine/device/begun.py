"""What a worker holds of a request, and of a plan that has begun."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from zimage_engine.device.unit_clock import UnitClock
from zimage_engine.model.generation import Generation
from zimage_engine.types import EngineError, ImageRequest


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

    ``finite`` holds what the steps returned, ``decoded`` the pictures, ``expected`` the latents for previews.
    """

    clock: UnitClock
    held: list[Held]
    finite: list[tuple[list[Generation], torch.Tensor]] = field(default_factory=list)
    decoded: list[tuple[Generation, torch.Tensor]] = field(default_factory=list)
    expected: list[tuple[Held, torch.Tensor]] = field(default_factory=list)
    failures: dict[str, EngineError] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    caption_tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    encoded_tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    out_of_memory: bool = False
