"""The arithmetic of sampling, as diffusers' Z-Image pipelines do it: noise, sigmas, the Euler step, guidance, pixels.

σ runs from 1 (noise) to 0 (picture); latents are ``(channels, height ÷ scale, width ÷ scale)`` in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch.nn import functional as F

from zimage_engine.types import RawImage

_REPAINT = 128


def initial_noise(seed: int, shape: tuple[int, int, int]) -> torch.Tensor:
    """Standard normal latents in float32 from torch's CPU generator: noise drawn on a GPU differs between GPUs."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((1, *shape), generator=generator, dtype=torch.float32)[0]


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Clean latents at noise level ``sigma``, as flow matching mixes them."""
    return sigma * noise + (1 - sigma) * clean


class SigmaSchedule:
    """The noise levels of the model's own scheduler config, cached by steps and image tokens."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._known: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def levels(self, steps: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """σ as ``(steps + 1,)`` ending in 0, and the model's time ``(1000 − t) ÷ 1000`` as ``(steps,)``; float32.

        ``tokens`` (image tokens, unpadded) matters only to models with dynamic shifting.
        """
        key = (steps, tokens)
        if key not in self._known:
            # A scheduler counts its steps, so each schedule is made with a private one.
            scheduler = FlowMatchEulerDiscreteScheduler.from_config(self._config)
            linear = torch.linspace(1.0, 1 / steps, steps).tolist()
            scheduler.set_timesteps(sigmas=linear, device="cpu", mu=self._shift(tokens))
            times = (1000 - scheduler.timesteps.float()) / 1000
            self._known[key] = (scheduler.sigmas.float(), times)
        return self._known[key]

    def _shift(self, tokens: int) -> float:
        """The pipeline's ``calculate_shift``: linear between two sequence lengths."""
        config = self._config
        low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        least, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        return float(least + (most - least) / (high - low) * (tokens - low))


def guided(positive: torch.Tensor, negative: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance as Z-Image counts it: ``positive + scale · (positive − negative)``."""
    return positive + scale * (positive - negative)


def euler_step(latents: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """From noise level ``sigma`` to ``after`` along ``velocity = noise − picture``, in float32."""
    return latents + (after - sigma) * velocity


def to_raw_image(decoded: torch.Tensor) -> RawImage:
    """``(3, height, width)`` in −1 … 1 as bytes, rounded as diffusers' ``VaeImageProcessor`` rounds."""
    scaled = (decoded * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).float().cpu()
    pixels = (scaled * 255).round().to(torch.uint8).contiguous()
    height, width, _ = pixels.shape
    return RawImage(width, height, pixels.numpy().tobytes())


def from_raw_image(image: RawImage) -> torch.Tensor:
    """Bytes as ``(3, height, width)`` in −1 … 1, float32."""
    return _bytes(image).permute(2, 0, 1).float() / 255 * 2 - 1


def latent_mask(mask: bytes, width: int, height: int, scale: int) -> torch.Tensor:
    """A mask's bytes as ``(1, height ÷ scale, width ÷ scale)``: 1 where the nearest pixel is 128 or more, else 0."""
    return F.interpolate(_marked(mask, width, height), size=(height // scale, width // scale), mode="nearest")[0]


def grow_mask(mask: bytes, width: int, height: int, scale: int) -> torch.Tensor:
    """A mask's bytes as ``(1, height ÷ scale, width ÷ scale)``: 1 where any pixel of the cell is 128 or more.

    Both sides must be multiples of ``scale``. Unlike :func:`latent_mask` it misses nothing, however thin.
    """
    return F.max_pool2d(_marked(mask, width, height), scale)[0]


def composite(drawn: RawImage, original: RawImage, cells: torch.Tensor) -> RawImage:
    """``drawn`` where ``cells``, as :func:`grow_mask` makes them, are 1, and ``original``'s own bytes elsewhere.

    Both images are of one size, a multiple of the cells' ``(1, rows, columns)``.
    """
    scale = drawn.height // cells.shape[1]
    repainted = cells[0].cpu().bool().repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    pixels = torch.where(repainted[..., None], _bytes(drawn), _bytes(original))
    return RawImage(drawn.width, drawn.height, pixels.numpy().tobytes())


def _marked(mask: bytes, width: int, height: int) -> torch.Tensor:
    pixels = torch.frombuffer(bytearray(mask), dtype=torch.uint8).view(1, 1, height, width)
    return (pixels >= _REPAINT).float()


def _bytes(image: RawImage) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.data), dtype=torch.uint8).view(image.height, image.width, 3)
