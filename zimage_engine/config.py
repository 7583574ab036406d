"""The configuration of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zimage_engine.excerpts import excerpt
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest, InvalidRequest

WEIGHT_MIN, WEIGHT_MAX = 0.001, 1000.0
"""The weights that an owner or a group may have in :meth:`Engine.submit`; between these bounds sums stay exact."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine runs, where, and how.

    - ``profile``: a complete one, from :func:`complete_profile`; the model of requests that name none.
    - ``device``: where workers run: ``auto`` takes the best device there is, ``all`` every GPU; else names of torch's,
      such as ``cuda:1``, ``cpu*2`` or ``cuda:0=ONE,cuda:1=OTHER``. The module ``places`` has the syntax.
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
    - ``worker``: where the model runs: in threads of this process, or in a process of its own. Several workers have
      a process each in any case.
    - ``other_profiles``: the other models that requests may name.
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
    other_profiles: tuple[ModelProfile, ...] = ()

    @property
    def profiles(self) -> tuple[ModelProfile, ...]:
        """All models, the default one first."""
        return (self.profile, *self.other_profiles)

    def profile_of(self, request: ImageRequest) -> ModelProfile:
        """Return the profile that the request names. Raises :class:`InvalidRequest` if there is no such model."""
        name = request.model or self.profile.name
        for profile in self.profiles:
            if profile.name == name:
                return profile
        raise InvalidRequest(
            f"There is no model “{excerpt(name, 40)}” here; there is {', '.join(each.name for each in self.profiles)}."
        )


def base_request(profile: ModelProfile) -> ImageRequest:
    """Return the request that costs one credit: one image of the profile's base size at its default steps."""
    size = profile.base_size
    steps, guidance = int(profile.steps.default), profile.guidance.default
    return ImageRequest("base", "", size.width, size.height, steps, 0, guidance_scale=guidance)
