"""The configuration of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest

WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
"""The weights that an owner or a group may have in :meth:`Engine.submit`; between these bounds sums stay exact."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine runs, where, and how.

    - ``profile``: a complete one, from :func:`complete_profile`.
    - ``device``: a name of torch's, such as ``cuda``, ``cuda:1``, ``mps`` or ``cpu``; ``auto`` takes the best there is.
    - ``dtype``: ``bfloat16``, ``float32``, or ``auto``: bfloat16 on a GPU and, on the CPU, float32 if it fits.
    - ``cache_dir``: keeps what was measured on this device; without it every start measures again.
    - ``batch_tokens``: the token budget of a batch, which limits how many pictures share a step; 0 measures the best
      one. A picture takes ``width · height ÷ size_multiple²`` tokens and its prompt some, both rounded up to multiples
      of 32.
    - ``unit_limit``, ``load_limit``: a unit that takes longer than this many seconds, and five times as long as
      predicted, counts as hung, and so does loading that makes no progress for so long.
    - ``measure``: without it nothing is measured before the first request. Loading takes less time then; expected times
      are rough guesses at first, and each picture is generated alone unless ``batch_tokens`` is set.
    - ``attention``: ``auto`` (torch's own) or one of diffusers' attention backends, such as ``flash`` or ``sage``.
    - ``compiled``: compile the transformer's repeated blocks: minutes at the first start, some seconds at later ones.
    - ``preview_decoder``: a folder or downloaded hub id of a tiny decoder such as TAEF1, for sharper previews.
    - ``worker``: where the model runs: in threads of this process, or in a process of its own.
    """

    profile: ModelProfile
    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    batch_tokens: int = 0
    unit_limit: float = 600.0
    load_limit: float = 1800.0
    measure: bool = True
    attention: str = "auto"
    compiled: bool = False
    preview_decoder: str | None = None
    worker: Literal["thread", "process"] = "thread"


def base_request(profile: ModelProfile) -> ImageRequest:
    """Return the request that costs one credit: one image of the profile's base size at its default steps."""
    size = profile.base_size
    steps, guidance = int(profile.steps.default), profile.guidance.default
    return ImageRequest("base", "", size.width, size.height, steps, 0, guidance_scale=guidance)
