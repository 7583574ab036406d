"""The table of model profiles. Adding a profile takes one entry in :data:`PROFILES`; its rules are in ``profiles``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from zimage_engine.profiles import Editing, ModelProfile, Range
from zimage_engine.types import InvalidRequest
from zimage_engine.work import Decoder, Dimensions, Layers

DEMO_WEIGHTS = Path(__file__).parent / "demo_model" / "weights"

GPU_PROFILE = "turbo"
"""The profile that ``auto`` chooses on a GPU."""

CPU_PROFILE = "demo"
"""The profile that ``auto`` chooses without a GPU."""

_DEMO = Dimensions(
    transformer=Layers(count=6, width=192, hidden=512, heads=4, key_heads=4, head_width=48),
    refiners=1,
    text_encoder=Layers(count=3, width=128, hidden=384, heads=4, key_heads=2, head_width=32),
    decoder=Decoder((16, 32, 48, 64, 96), layers=1, latent_channels=16, attention=False),
)
_Z_IMAGE = Dimensions(  # the text encoder is Qwen3-4B, the decoder that of FLUX.1
    transformer=Layers(count=30, width=3840, hidden=10240, heads=30, key_heads=30, head_width=128),
    refiners=2,
    text_encoder=Layers(count=36, width=2560, hidden=9728, heads=32, key_heads=8, head_width=128),
    decoder=Decoder((128, 256, 512, 512), layers=2, latent_channels=16, attention=True),
)

_FEW_STEPS = Range(1, 20, 8)
_NO_GUIDANCE = Range(0, 0, 0)

PROFILES: dict[str, ModelProfile] = {
    profile.name: profile
    for profile in (
        ModelProfile(
            name="demo",
            title="Z-Image demo",
            weights=str(DEMO_WEIGHTS),
            steps=_FEW_STEPS,
            guidance=_NO_GUIDANCE,
            negative_prompt=False,
            base_side=256,
            scales={"medium": 1.0, "large": 2.0},
            max_pixels=640 * 640,
            editing="img2img",
            dimensions=_DEMO,
            strength=0.8,  # the smallest at which 85 % of the changes of each kind succeed: docs/editing.md
            purpose="coloured shapes in seconds, to try me out",
        ),
        ModelProfile(
            name="demo-guided",
            title="Z-Image demo guided",
            weights=str(DEMO_WEIGHTS),
            steps=Range(1, 20, 12),
            guidance=Range(0, 4, 1.5),  # from 3 on shapes get fringes of other colours
            negative_prompt=True,
            base_side=256,
            scales={"medium": 1.0, "large": 2.0},
            max_pixels=640 * 640,
            editing="img2img",
            dimensions=_DEMO,
            strength=0.8,
            purpose="coloured shapes with guidance and negative prompts",
        ),
        ModelProfile(
            name="turbo",
            title="Z-Image-Turbo",
            weights="Tongyi-MAI/Z-Image-Turbo",
            steps=_FEW_STEPS,
            guidance=_NO_GUIDANCE,
            negative_prompt=False,
            base_side=1024,
            scales={"small": 0.75, "medium": 1.0, "large": 1.5},
            max_pixels=2048 * 2048,
            editing="img2img",
            dimensions=_Z_IMAGE,
            purpose="fast: photographs, and text in pictures",
            random_weights=True,
        ),
        ModelProfile(
            name="base",
            title="Z-Image",
            weights="Tongyi-MAI/Z-Image",
            steps=Range(10, 50, 28),
            guidance=Range(0, 8, 4),
            negative_prompt=True,
            base_side=1024,
            scales={"small": 0.75, "medium": 1.0, "large": 1.5},
            max_pixels=2048 * 2048,
            editing="img2img",
            dimensions=_Z_IMAGE,
            purpose="slower: more varied, with guidance and negative prompts",
            random_weights=True,
        ),
        ModelProfile(
            name="edit",
            title="Z-Image-Edit",
            weights="Tongyi-MAI/Z-Image-Edit",
            steps=Range(10, 50, 50),
            guidance=Range(0, 8, 4),
            negative_prompt=True,
            base_side=1024,
            scales={"small": 0.75, "medium": 1.0, "large": 1.5},
            max_pixels=2048 * 2048,
            editing="instruction",
            dimensions=_Z_IMAGE,
            strength=1.0,
            purpose="changes pictures as you tell it",
        ),
    )
}
"""The profiles by name."""


def find_profile(name: str, *, weights: str | None = None) -> ModelProfile:
    """Return the profile of that name, one of :data:`PROFILES`.

    ``weights``, a folder in diffusers' layout or a hub id, replaces the profile's own weights and title. The model must
    be of the profile's kind. The profile is not complete: pass it to :func:`complete_profile`.

    Raises :class:`InvalidRequest` if there is no such profile.
    """
    if name not in PROFILES:
        raise InvalidRequest(f"There is no profile “{name[:40]}”; the profiles are {', '.join(PROFILES)}.")
    if not weights:
        return PROFILES[name]
    return replace(PROFILES[name], weights=weights, title=weights.rstrip("/").rpartition("/")[2])


def random_weight_profiles() -> list[str]:
    """Return the names of the profiles that can be benchmarked without a download."""
    return [profile.name for profile in PROFILES.values() if profile.random_weights]


def demo_profiles() -> list[str]:
    """Return the names of the profiles whose weights ship with the project."""
    return [profile.name for profile in PROFILES.values() if profile.weights == str(DEMO_WEIGHTS)]


def downloadable_profiles(editing: Editing) -> list[str]:
    """Return the names of the profiles that edit in this way and whose weights do not ship with the project."""
    return [
        profile.name
        for profile in PROFILES.values()
        if profile.editing == editing and profile.weights != str(DEMO_WEIGHTS)
    ]


def either(names: Iterable[str]) -> str:
    """Return the names as a person reads them: ``"demo, turbo or base"``."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
