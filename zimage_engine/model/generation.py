"""The state of one picture that is being generated."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zimage_engine.model.captions import Embedding
from zimage_engine.types import ImageRequest, RawImage


@dataclass(slots=True)
class Generation:
    """The state of one picture that is being generated: latents ``(channels, h, w)`` in float32 after ``step`` steps.

    ``encoded_tokens`` are those of the texts that the text encoder ran on; none if all came from the cache.

    If previews are wanted, ``expected`` holds the clean latents that the last step predicted, and
    ``preview_allowance`` the seconds that the next preview may take.

    A unit changes it only when everything has succeeded: one that ran out of memory is run again.
    """

    request: ImageRequest
    positive: Embedding
    negative: Embedding | None
    latents: torch.Tensor
    encoded_tokens: tuple[int, ...] = ()
    step: int = 0
    inpainting: Inpainting | None = None
    expected: torch.Tensor | None = None
    preview_allowance: float = 0.0


@dataclass(frozen=True, slots=True)
class Inpainting:
    """What an inpainting restores outside its mask: clean latents and their noise. ``mask`` is 1 inside.

    ``original`` holds the pixels to restore in the result, None if the decoded ones are kept.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor
    original: RawImage | None = None
