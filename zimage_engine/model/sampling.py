"""The arithmetic of sampling, as diffusers' Z-Image pipelines do it: noise, sigmas, the Euler step, guidance, pixels.

σ goes from 1 (noise) to 0 (clean); latents are ``(channels, height ÷ scale, width ÷ scale)`` in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch.nn import functional

from zimage_engine.types import MASK_THRESHOLD, NumericalError, RawImage

_SCHEDULES_MAX = 1000


def initial_noise(seed: int, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return standard normal latents in float32, from torch's CPU generator: that of a GPU differs between GPUs."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((1, *shape), generator=generator, dtype=torch.float32)[0]


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Return clean latents mixed with noise to the level ``sigma``, as in flow matching."""
    return sigma * noise + (1 - sigma) * clean


class SigmaSchedule:
    """The noise levels of the model's scheduler config, cached on the device by steps and image tokens."""

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        self._config = config
        self._device = device
        self._known: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def levels(self, steps: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return σ as ``(steps + 1,)`` ending in 0, and the model's time ``(1000 − t) ÷ 1000`` as ``(steps,)``.

        Both are float32 on the device. ``tokens`` is the number of image tokens, unpadded; only models with dynamic
        shifting use it. Raises :class:`NumericalError` if the config gives no finite levels for so many steps.
        """
        key = (steps, tokens if self._config.get("use_dynamic_shifting") else 0)
        if key not in self._known:
            if len(self._known) >= _SCHEDULES_MAX:
                self._known.clear()
            self._known[key] = self._compute(steps, tokens)
        return self._known[key]

    def _compute(self, steps: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        # A scheduler object keeps its own step count, so each schedule gets a new one.
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(self._config)
        linear = torch.linspace(1.0, 1 / steps, steps, dtype=torch.float32).tolist()
        with np.errstate(all="ignore"):  # checked below
            scheduler.set_timesteps(sigmas=linear, device="cpu", mu=self._shift(tokens))
        sigmas, times = scheduler.sigmas.float(), (1000 - scheduler.timesteps.float()) / 1000
        if not torch.isfinite(sigmas).all():
            raise NumericalError(
                f"The model's scheduler has no {steps}-step schedule: ask for another number of steps."
            )
        return sigmas.to(self._device), times.to(self._device)

    def _shift(self, tokens: int) -> float:
        """Return the shift as the pipeline's ``calculate_shift`` does: linear between two sequence lengths."""
        config = self._config
        low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low_shift, high_shift = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        return float(low_shift + (high_shift - low_shift) / (high - low) * (tokens - low))


def guided(positive: torch.Tensor, negative: torch.Tensor, scale: float) -> torch.Tensor:
    """Apply classifier-free guidance as Z-Image defines it: ``positive + scale · (positive − negative)``."""
    return positive + scale * (positive - negative)


def euler_step(latents: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Move latents from noise level ``sigma`` to ``after`` along ``velocity = noise − clean``, in float32."""
    return latents + (after - sigma) * velocity


def to_raw_image(decoded: torch.Tensor) -> RawImage:
    """Convert ``(3, height, width)`` in −1 … 1 to bytes, rounded as by diffusers' ``VaeImageProcessor``.

    Waits for the device.
    """
    scaled = (decoded * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).float()
    pixels = (scaled * 255).round().to(torch.uint8).contiguous().cpu()
    height, width, _ = pixels.shape
    return RawImage(width, height, pixels.numpy().tobytes())


def from_raw_image(image: RawImage) -> torch.Tensor:
    """Convert bytes to ``(3, height, width)`` in −1 … 1, float32."""
    return _bytes(image).permute(2, 0, 1).float() / 255 * 2 - 1


def latent_mask(mask: bytes, width: int, height: int, scale: int) -> torch.Tensor:
    """Scale a mask to ``(1, height ÷ scale, width ÷ scale)``: 1 where the nearest pixel is 128 or more, else 0."""
    cells = (height // scale, width // scale)
    return functional.interpolate(_marked(mask, width, height), size=cells, mode="nearest")[0]


def grow_mask(mask: bytes, width: int, height: int, scale: int) -> torch.Tensor:
    """Scale a mask to ``(1, height ÷ scale, width ÷ scale)``: 1 where any pixel of the cell is 128 or more.

    Both sides must be multiples of ``scale``. Unlike :func:`latent_mask` it also marks the cells of thin lines.
    """
    return functional.max_pool2d(_marked(mask, width, height), scale)[0]


def composite(generated: RawImage, original: RawImage, cells: torch.Tensor) -> RawImage:
    """Return ``generated`` where ``cells`` are 1 and the bytes of ``original`` elsewhere.

    ``cells`` is ``(1, rows, columns)`` as :func:`grow_mask` returns it. Both images have one size, a multiple of that.
    """
    scale = generated.height // cells.shape[1]
    repainted = cells[0].cpu().bool().repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    pixels = torch.where(repainted[..., None], _bytes(generated), _bytes(original))
    return RawImage(generated.width, generated.height, pixels.numpy().tobytes())


def _marked(mask: bytes, width: int, height: int) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(mask), dtype=torch.uint8).view(1, 1, height, width)
    return (pixels >= MASK_THRESHOLD).float()


def _bytes(image: RawImage) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.data), dtype=torch.uint8).view(image.height, image.width, 3)
