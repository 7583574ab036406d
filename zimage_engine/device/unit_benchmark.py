"""Measures each unit of a model on this machine: seconds, FLOP, and the share of the device's peak.

The parts are those of a loaded model, or of the full-size Z-Image with random weights, which needs no download. Random
parts are built one after the other, so that only the largest has to fit into memory.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3Model

from zimage_engine.device.acceleration import Acceleration
from zimage_engine.model.model import Components
from zimage_engine.profiles import Size

_CAPTION_TOKENS = 128
_VOCABULARY = 151_936
_RUNS = 3
_PEAK_SIDE = 4096


@dataclass(frozen=True, slots=True)
class Measurement:
    """One unit: its median seconds, its work in FLOP, and its share of the FLOP a second of :func:`measure_peak`."""

    unit: str
    seconds: float
    flop: float
    peak_share: float
    tokens: int = 0


class ModelParts(Protocol):
    """Provides a model's parts. Asking for one may free the one before. ``scale`` is pixels to a latent, a side."""

    @property
    def scale(self) -> int: ...

    def text_encoder(self) -> Any: ...

    def transformer(self) -> Any: ...

    def vae(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """The parts of a loaded model."""

    components: Components

    @property
    def scale(self) -> int:
        config: Any = self.components.vae.config
        return int(2 ** (len(config.block_out_channels) - 1))

    def text_encoder(self) -> Any:
        return self.components.text_encoder

    def transformer(self) -> Any:
        return self.components.transformer

    def vae(self) -> Any:
        return self.components.vae


@dataclass(frozen=True, slots=True)
class RandomParts:
    """The full-size Z-Image with random weights."""

    device: torch.device
    dtype: torch.dtype
    scale: int = 8

    def text_encoder(self) -> Any:
        """Build Qwen3-4B."""
        config = Qwen3Config(
            vocab_size=_VOCABULARY,
            hidden_size=2560,
            intermediate_size=9728,
            num_hidden_layers=36,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            use_cache=False,
        )
        return self._random(lambda: Qwen3Model(config))

    def transformer(self) -> Any:
        """Build the transformer: diffusers' defaults are Z-Image's dimensions."""
        return self._random(ZImageTransformer2DModel)

    def vae(self) -> Any:
        """Build the autoencoder of FLUX.1."""
        return self._random(
            lambda: AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=16,
                use_quant_conv=False,
                use_post_quant_conv=False,
                scaling_factor=0.3611,
                shift_factor=0.1159,
            )
        )

    def _random(self, build: Callable[[], Any]) -> Any:
        """Build a module with random weights directly on its device and in its type, so that it is held only once."""
        with torch.device("meta"):
            module = build().to(self.dtype)
        # Buffers (tables of positions) have no values after to_empty; random ones could be out of range.
        module.to_empty(device=self.device)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=0.02)
            for buffer in module.buffers():
                buffer.zero_()
        return module.eval()


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP a second of a large square matrix product, as the most that the device can do."""
    matrix = torch.randn(_PEAK_SIDE, _PEAK_SIDE, device=device, dtype=dtype)
    return 2 * _PEAK_SIDE**3 / min(_times(lambda: matrix @ matrix, device, 2 * _RUNS))


def benchmark_units(
    parts: ModelParts,
    device: torch.device,
    dtype: torch.dtype,
    sizes: Sequence[Size],
    batches: Sequence[int] = (1,),
    acceleration: Acceleration | None = None,
) -> Iterator[Measurement]:
    """Yield each unit as it is measured: one prompt, a step of each size and batch, one decode of each size."""
    timer = _Timer(device, measure_peak(device, dtype), parts.scale)
    with torch.inference_mode():
        yield _measure_text_encoder(parts.text_encoder(), timer)
        _free(device)
        yield from _measure_steps(parts.transformer(), timer, sizes, batches, acceleration)
        _free(device)
        yield from _measure_decoder(parts.vae(), timer, sizes)


def peak_memory(device: torch.device) -> float:
    """Return the most bytes held so far: on the device if it is CUDA, else by this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    bytes_per_unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit


@dataclass(frozen=True, slots=True)
class _Timer:
    """Times units on ``device``; ``peak`` is its FLOP a second, ``scale`` the model's pixels to a latent."""

    device: torch.device
    peak: float
    scale: int

    def latent_size(self, size: Size) -> tuple[int, int]:
        """Return the rows and columns of a size's latents."""
        return size.height // self.scale, size.width // self.scale

    def measure(self, unit: str, action: Callable[[], Any], tokens: int = 0, flop: float | None = None) -> Measurement:
        """Time an action; its FLOP are counted unless they are given."""
        flop = self.count_flop(action) if flop is None else flop
        action()  # the first run of a shape also prepares kernels and memory
        seconds = statistics.median(_times(action, self.device, _RUNS))
        return Measurement(unit, seconds, flop, flop / seconds / self.peak, tokens)

    @staticmethod
    def count_flop(action: Callable[[], Any]) -> float:
        with FlopCounterMode(display=False) as counter:
            action()
        return float(counter.get_total_flops())


def _measure_text_encoder(encoder: Any, timer: _Timer) -> Measurement:
    ids = torch.randint(0, encoder.config.vocab_size, (1, _CAPTION_TOKENS), device=encoder.device)
    # Torch's counter cannot count grouped heads. With so few tokens attention is a hundredth of the work.
    weights = sum(parameter.numel() for parameter in encoder.layers.parameters())
    title = f"encode {_CAPTION_TOKENS} tokens"
    return timer.measure(title, lambda: encoder(input_ids=ids), _CAPTION_TOKENS, 2.0 * weights * _CAPTION_TOKENS)


def _measure_steps(
    transformer: Any,
    timer: _Timer,
    sizes: Sequence[Size],
    batches: Sequence[int],
    acceleration: Acceleration | None,
) -> Iterator[Measurement]:
    device, dtype = timer.device, transformer.dtype
    caption = torch.randn(_CAPTION_TOKENS, transformer.config.cap_feat_dim, device=device, dtype=dtype)
    steps: list[tuple[str, Callable[[], Any], int, float]] = []
    for size in sizes:
        for count in batches:
            rows, columns = timer.latent_size(size)
            latents = [torch.randn(16, 1, rows, columns, device=device, dtype=dtype)] * count
            time_of_step = torch.full((count,), 0.5, device=device)
            step: Callable[[], Any] = partial(transformer, latents, time_of_step, [caption] * count, return_dict=False)
            title = f"step {size}" + (f" of {count}" if count > 1 else "")
            # Counted before anything is compiled: a compiled graph hides its operations.
            tokens = count * (rows // 2 * (columns // 2) + _CAPTION_TOKENS)
            steps.append((title, step, tokens, timer.count_flop(step)))
    if acceleration is not None:
        acceleration.apply(transformer, resident=True)
    yield from (timer.measure(*step) for step in steps)


def _measure_decoder(vae: Any, timer: _Timer, sizes: Sequence[Size]) -> Iterator[Measurement]:
    for size in sizes:
        latents = torch.randn(1, 16, *timer.latent_size(size), device=timer.device, dtype=vae.dtype)
        yield timer.measure(f"decode {size}", partial(vae.decode, latents))


def _times(action: Callable[[], Any], device: torch.device, runs: int) -> list[float]:
    """Return the seconds of each run of an action, waiting for the device."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
