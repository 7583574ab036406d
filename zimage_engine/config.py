"""How an engine is to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """A complete profile (see ``loading.complete_profile``), and where and how to run it; ``auto`` chooses.

    ``cache_dir`` keeps what was measured on this device; without it every start measures anew. ``batch_tokens``
    replaces the measured budget of a batch; 0 measures. A unit that takes ``unit_limit`` seconds is taken for hung.
    ``preview_decoder`` is a folder or downloaded hub id of a tiny decoder such as TAEF1, for sharper previews.
    ``attention`` and ``compiled`` are those of :class:`zimage_engine.device.acceleration.Acceleration`. Without
    ``measure`` nothing is measured before the first request: pictures are drawn one at a time.
    """

    profile: ModelProfile
    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    batch_tokens: int = 0
    unit_limit: float = 600.0
    measure: bool = True
    attention: str = "auto"
    compiled: bool = False
    preview_decoder: str | None = None


def base_request(profile: ModelProfile) -> ImageRequest:
    """One image of the profile's base size at its default steps: what one credit buys."""
    size = profile.base_size
    steps, guidance = int(profile.steps.default), profile.guidance.default
    return ImageRequest("base", "", size.width, size.height, steps, 0, guidance_scale=guidance)
