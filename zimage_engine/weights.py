"""The files of a model in diffusers' layout, in a folder or on the Hugging Face hub. Free of torch.

The small config files say what a profile offers (:func:`complete_profile`); the weights are found or downloaded by
:func:`weights_folder` and loaded by :mod:`zimage_engine.device.loading`. :mod:`zimage_engine.hub` downloads them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from zimage_engine.catalog import downloadable_profiles, either
from zimage_engine.device.memory import GB, PARTS, SIGLIP
from zimage_engine.hub import cached_snapshot, download_file, download_files, remove_partial_files
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ModelNotFound, NotAvailable
from zimage_engine.work import Dimensions

Report = Callable[[str], None]
"""Receives a few words on what loading is doing, such as "reading the transformer"."""

_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
_UNSUPPORTED_OPTIONS = ("stochastic_sampling", "invert_sigmas")

_AXES_LENS = (1024, 512, 512)
"""diffusers' default: the positions that the transformer knows for captions, rows and columns."""

_SIGLIP_PATCHES = 256
"""transformers' default: the most patches that SigLIP cuts an image into."""


def complete_profile(profile: ModelProfile) -> ModelProfile:
    """Return the profile with the sizes that the model's config files allow. An engine needs a complete profile.

    Reads files, and downloads a few kB of them if the profile's weights are a hub id; blocks meanwhile.

    Raises :class:`ModelNotFound` if the files are missing, are not a Z-Image model's, or belong to a model that edits
    in another way than the profile says or has a scheduler that the engine does not implement, and
    :class:`NotAvailable` if the scheduler needs a package that is not installed.
    """
    index = _read_json(profile, "model_index.json")
    if not str(index.get("_class_name", "")).startswith("ZImage"):
        raise ModelNotFound(
            f"{profile.weights} is not a Z-Image model: its model_index.json names {index.get('_class_name')}."
        )
    if profile.editing == "instruction" and not has_siglip(index):
        raise ModelNotFound(
            f"{profile.weights} cannot edit by instruction, it has no SigLIP encoder: set MODEL to a model for "
            f"ZImageOmniPipeline, or PROFILE to {either(downloadable_profiles('img2img'))}."
        )
    if profile.editing == "img2img" and has_siglip(index):
        by_instruction = either(downloadable_profiles("instruction"))
        raise ModelNotFound(f"{profile.weights} is a model that edits by instruction: set PROFILE={by_instruction}.")
    check_scheduler(_read_json(profile, "scheduler/scheduler_config.json"), profile.weights)
    vae, transformer = _read_json(profile, "vae/config.json"), _read_json(profile, "transformer/config.json")
    if not vae.get("block_out_channels"):
        raise ModelNotFound(f"{profile.weights} has an image decoder of an unknown kind; it needs AutoencoderKL.")
    try:
        dimensions = Dimensions.from_configs(transformer, _read_json(profile, "text_encoder/config.json"), vae)
    except KeyError as error:
        raise ModelNotFound(
            f"{profile.weights} has a text encoder of an unknown kind: its config.json lacks {error}."
        ) from error
    multiple = dimensions.decoder.scale * 2
    _, rows, columns = transformer.get("axes_lens", _AXES_LENS)
    # In omni mode SigLIP's features have the positions of latents; an image has those of its tokens, 2 by 2 latents.
    unit = multiple // 2 if profile.editing == "instruction" else multiple
    patches = 0
    if profile.editing == "instruction":
        processor = _read_json(profile, f"{SIGLIP}_processor/preprocessor_config.json")
        patches = processor.get("max_num_patches", _SIGLIP_PATCHES)
    return replace(
        profile,
        dimensions=dimensions,
        size_multiple=multiple,
        width_max=columns * unit,
        height_max=rows * unit,
        image_patches=patches,
    )


def check_scheduler(config: dict[str, Any], weights: str) -> None:
    """Check that the engine computes what this scheduler config says; ``weights`` is the model's name for people.

    The engine does the deterministic Euler step from noise to clean latents, with the noise levels of diffusers'
    FlowMatchEulerDiscreteScheduler. The options that only change the levels (shifts, Karras, exponential and beta
    sigmas) are computed by diffusers itself. Raises :class:`ModelNotFound` or :class:`NotAvailable`.
    """
    name = config.get("_class_name")
    if name != _SCHEDULER:
        raise ModelNotFound(f"{weights} has the scheduler {name}; the engine implements {_SCHEDULER} alone.")
    for option in _UNSUPPORTED_OPTIONS:
        if config.get(option):
            raise ModelNotFound(f"{weights} has a scheduler with {option}, which the engine does not implement.")
    if config.get("use_beta_sigmas") and importlib.util.find_spec("scipy") is None:
        raise NotAvailable(f"{weights} has a scheduler with beta sigmas, which needs a package: pip install scipy.")


def has_siglip(index: dict[str, Any]) -> bool:
    """Return True if this content of a ``model_index.json`` is that of a model that edits by instruction."""
    return index.get("_class_name") == "ZImageOmniPipeline" and SIGLIP in index


def cached_folder(profile: ModelProfile) -> Path | None:
    """Return the local folder with the weights, or None if they would have to be downloaded."""
    folder = Path(profile.weights)
    if folder.is_dir():
        return folder
    snapshot = cached_snapshot(profile.weights)
    if snapshot is None:
        return None
    # complete_profile downloads the config files alone, which make such a folder, too.
    parts = (*PARTS, SIGLIP) if profile.editing == "instruction" else PARTS
    return snapshot if all(_has_weights(snapshot / part) for part in parts) else None


def weights_folder(profile: ModelProfile, report: Report = lambda _: None) -> Path:
    """Return the local folder with the weights; downloads those of a hub id once, into the hub's cache.

    Raises :class:`ModelNotFound` if they cannot be downloaded.
    """
    folder = cached_folder(profile)
    if folder is not None:
        return folder
    remove_partial_files(profile.weights)
    return download_files(
        profile.weights, lambda done, total: report(f"downloading: {done / GB:.1f} of {total / GB:.1f} GB")
    )


def tokenizer_file(profile: ModelProfile) -> Path:
    """Return the path of the tokenizer's only file, downloaded if need be. Raises :class:`ModelNotFound`. Blocks."""
    return _file(profile, "tokenizer/tokenizer.json")


def _file(profile: ModelProfile, name: str) -> Path:
    folder = Path(profile.weights)
    if not folder.is_dir():
        return download_file(profile.weights, name)
    if not (folder / name).is_file():
        raise ModelNotFound(f"{folder} is not a model folder in diffusers' layout: it has no {name}.")
    return folder / name


def _read_json(profile: ModelProfile, name: str) -> dict[str, Any]:
    path = _file(profile, name)
    try:
        parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path} cannot be read ({type(error).__name__}): download the model again.") from error
    return parsed


def _has_weights(part: Path) -> bool:
    """Return True if every file that the part's index names is there or, without an index, at least one file."""
    for index in part.glob("*.safetensors.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((part / name).exists() for name in named)
    return any(part.glob("*.safetensors"))
