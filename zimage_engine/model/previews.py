"""Previews of a picture while it is generated: the clean latents that a step predicts, decoded coarsely.

A request's previews take at most a twentieth of its own time: some are left out if they would take more.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny

from zimage_engine.device.out_of_memory import is_out_of_memory
from zimage_engine.model.sampling import to_raw_image
from zimage_engine.preview_files import PREVIEW_FILE
from zimage_engine.types import RawImage

log = logging.getLogger(__name__)

Row = Sequence[float]
Rows = Sequence[Row]

TIME_SHARE_MAX = 0.05
"""The share of a request's seconds that its previews may take."""

_TRIAL_SIDE = 32

# Fitted to the autoencoder of FLUX.1, which Z-Image decodes with. Source: ComfyUI, comfy/latent_formats.py, class Flux.
_FLUX_SCALING = 0.3611
_FLUX_FACTORS = (
    (-0.0346, 0.0244, 0.0681),
    (0.0034, 0.0210, 0.0687),
    (0.0275, -0.0668, -0.0433),
    (-0.0174, 0.0160, 0.0617),
    (0.0859, 0.0721, 0.0329),
    (0.0004, 0.0383, 0.0115),
    (0.0405, 0.0861, 0.0915),
    (-0.0236, -0.0185, -0.0259),
    (-0.0245, 0.0250, 0.1180),
    (0.1008, 0.0755, -0.0421),
    (-0.0515, 0.0201, 0.0011),
    (0.0428, -0.0012, -0.0036),
    (0.0817, 0.0765, 0.0749),
    (-0.1264, -0.0522, -0.1103),
    (-0.0280, -0.0881, -0.0499),
    (-0.1262, -0.0982, -0.0778),
)
_FLUX_BIAS = (-0.0329, -0.0718, -0.0851)


class LinearMap:
    """Maps latents to colours by one matrix: each latent becomes one pixel.

    ``factors`` is ``(channels, 3)`` and ``bias`` ``(3,)``. ``mean_factors``, also ``(channels, 3)``, is for the mean of
    all latents: an autoencoder that normalises over the whole picture keeps a part of the colours there.
    """

    def __init__(self, factors: Rows, bias: Row, mean_factors: Rows | None = None) -> None:
        self._factors = torch.tensor(factors)
        self._mean_factors = torch.tensor(mean_factors) if mean_factors else torch.zeros_like(self._factors)
        self._bias = torch.tensor(bias)

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """Map ``(channels, h, w)`` latents to ``(3, h, w)`` colours in −1 … 1."""
        latents = latents.float().cpu()  # some 100 kB: faster on the CPU than launching kernels
        offset = latents.mean(dim=(1, 2)) @ self._mean_factors + self._bias
        return torch.einsum("chw,cr->rhw", latents, self._factors) + offset[:, None, None]


class TinyDecoder:
    """The decoder of a tiny autoencoder such as TAEF1: sharper than the matrix, and slower."""

    def __init__(self, tiny: Any) -> None:
        self._tiny = tiny

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode ``(channels, h, w)`` latents to ``(3, height, width)`` colours in −1 … 1."""
        decoded: torch.Tensor = self._tiny.decode(latents[None].to(self._tiny.dtype), return_dict=False)[0][0]
        return decoded.float()


class Previewer:
    """Makes previews, as long as they take little time. Measures the seconds a latent when it is created."""

    def __init__(self, decoder: LinearMap | TinyDecoder, channels: int, device: torch.device) -> None:
        self._decoder = decoder
        trial = torch.zeros(channels, _TRIAL_SIDE, _TRIAL_SIDE, device=device)
        self._seconds_a_latent = 0.0
        for _ in range(2):  # the first run also prepares kernels
            _, seconds = self.preview(trial, float("inf"))
            self._seconds_a_latent = seconds / _TRIAL_SIDE**2

    @torch.inference_mode()
    def preview(self, latents: torch.Tensor, allowance: float) -> tuple[RawImage | None, float]:
        """Decode clean ``(channels, h, w)`` latents coarsely; returns the picture and the seconds that it took.

        The picture is None if it would take more than ``allowance`` seconds or the device is out of memory.
        """
        if latents[0].numel() * self._seconds_a_latent > allowance:
            return None, 0.0
        began = time.perf_counter()
        try:
            image = to_raw_image(self._decoder(latents))  # copies to the host, so it waits for the device
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None
            image = None  # the picture itself goes on
        return image, time.perf_counter() - began


def find_previewer(folder: Path, vae: Any, tiny: str | None, device: torch.device) -> Previewer | None:
    """Return a previewer for the model in ``folder``, or None if there is no way to decode its latents coarsely.

    The decoder is the tiny one in ``tiny``, else the matrix in the model's folder, else the published matrix if the
    autoencoder is FLUX.1's. ``tiny`` is a folder, or a hub id that has been downloaded; only safetensors are read.
    """
    decoder = _find_decoder(folder, vae, tiny, device)
    return None if decoder is None else Previewer(decoder, vae.config.latent_channels, device)


def _find_decoder(folder: Path, vae: Any, tiny: str | None, device: torch.device) -> LinearMap | TinyDecoder | None:
    if tiny is not None and (decoder := _load_tiny(tiny, vae, device)) is not None:
        return decoder
    path = folder / PREVIEW_FILE
    if path.is_file():
        return LinearMap(**json.loads(path.read_text(encoding="utf-8")))
    if vae.config.latent_channels == len(_FLUX_FACTORS) and vae.config.scaling_factor == _FLUX_SCALING:
        return LinearMap(_FLUX_FACTORS, _FLUX_BIAS)
    return None


def _load_tiny(weights: str, vae: Any, device: torch.device) -> TinyDecoder | None:
    try:
        # Safetensors alone: other weights are pickles, which can run code.
        tiny = AutoencoderTiny.from_pretrained(weights, dtype=vae.dtype, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        log.warning("the preview decoder %s cannot be read (%s); previews are coarse", weights, type(error).__name__)
        return None
    if tiny.config.latent_channels != vae.config.latent_channels:
        log.warning("the preview decoder %s is another model's; previews are coarse", weights)
        return None
    return TinyDecoder(tiny.to(device).eval().requires_grad_(requires_grad=False))
