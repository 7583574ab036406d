"""The files that previews are made with, looked at before they are loaded. Free of torch."""

from __future__ import annotations

import json
from pathlib import Path

from zimage_engine.device.memory import PartSize, weights_of
from zimage_engine.hub import cached_snapshot
from zimage_engine.types import ModelNotFound

PREVIEW_FILE = "preview.json"
"""A file in a model's folder with the arguments of :class:`zimage_engine.model.previews.LinearMap` by name.

The rows are ``[r, g, b]``.
"""

_KIND = "AutoencoderTiny"


def preview_decoder_fault(decoder: str, model: Path | None) -> str | None:
    """Return what keeps this decoder from being used with the model; None if nothing does.

    ``decoder`` is a folder or a hub id that has been downloaded; ``model`` is the model's folder, None if it is not on
    this machine yet.
    """
    folder = Path(decoder) if Path(decoder).is_dir() else cached_snapshot(decoder, ["config.json", "*.safetensors"])
    if folder is None:
        return (
            f"The preview decoder “{decoder}” is neither a folder nor a model that was downloaded: `hf download "
            f"{decoder}` fetches it, or leave PREVIEW_DECODER empty."
        )
    try:
        config = _config(folder)
        channels = _config(model / "vae").get("latent_channels") if model is not None else None
        if weights_of(folder) == PartSize(0):
            return f"The preview decoder in {folder} has no safetensors file, and others are not read."
    except ModelNotFound as error:
        return str(error)
    if config.get("_class_name") != _KIND:
        return f"“{decoder}” is not a preview decoder: its config.json says {config.get('_class_name')}, not {_KIND}."
    own = config.get("latent_channels", 4)  # diffusers' default
    if channels is not None and own != channels:
        return f"The preview decoder “{decoder}” is another model's: it has {own} channels, not {channels}."
    return None


def _config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelNotFound(f"{path} cannot be read ({type(error).__name__}): download it again.") from error
