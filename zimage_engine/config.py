"""The configuration of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest

WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
"""The weights that an owner or a group may have: far enough apart, and near enough for exact sums."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """A complete profile (see :func:`zimage_engine.weights.complete_profile`), and where and how to run it.

    ``device`` and ``dtype`` are names of torch's, or ``auto``. ``cache_dir`` keeps what was measured on this device;
    without it every start measures again. ``batch_tokens`` replaces the measured token budget of a batch; 0 measures.
    A unit that takes longer than ``unit_limit`` seconds and five times as long as predicted counts as hung, and so does
    loading that makes no progress for ``load_limit`` seconds. ``preview_decoder`` is a folder or downloaded
    hub id of a tiny decoder such as TAEF1, for sharper previews. ``attention`` and ``compiled`` are those of
    :class:`zimage_engine.device.acceleration.Acceleration`. Without ``measure`` nothing is measured before the first
    request, and pictures are generated one at a time. ``worker`` says where the model runs: in threads of this process,
    or in a process of its own.
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
