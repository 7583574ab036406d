"""What each unit costs on this machine, with the real dimensions: no download is needed for that.

The full-size model's parts are built with random weights one after the other, so that the largest alone has to fit;
or a loaded model's are measured.
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
class Measure:
    """One unit: its median seconds, its work in FLOP, and the share of the fastest matrix product measured here."""

    unit: str
    seconds: float
    flop: float
    peak_share: float
    tokens: int = 0


class Parts(Protocol):
    """Where a model's parts come from; who asks for one does not need the one before any more.

    ``scale`` is how many pixels a latent stands for in each direction.
    """

    @property
    def scale(self) -> int: ...

    def text_encoder(self) -> Any: ...

    def transformer(self) -> Any: ...

    def vae(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class LoadedParts:
    """The parts of a model that is loaded as a whole."""

    components: Components

    @property
    def scale(self) -> int:
        config: Any = self.components.vae.config
        return 1 << len(config.block_out_channels) - 1

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
        """Qwen3-4B."""
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
        """diffusers' defaults are Z-Image's dimensions."""
        return self._random(ZImageTransformer2DModel)

    def vae(self) -> Any:
        """The autoencoder of FLUX.1."""
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
        """A module with random weights, made in its final place and type: nothing is ever held twice."""
        with torch.device("meta"):
            module = build().to(self.dtype)
        # What is no parameter (tables of positions) is computed when a module is made, and must not be random.
        module.to_empty(device=self.device)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_(std=0.02)
            for buffer in module.buffers():
                buffer.zero_()
        return module.eval()


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large square matrix product: what the device can do at most, measured."""
    matrix = torch.randn(_PEAK_SIDE, _PEAK_SIDE, device=device, dtype=dtype)
    return 2 * _PEAK_SIDE**3 / min(_times(lambda: matrix @ matrix, device, 2 * _RUNS))


def benchmark_units(
    parts: Parts,
    device: torch.device,
    dtype: torch.dtype,
    sizes: Sequence[Size],
    batches: Sequence[int] = (1,),
    acceleration: Acceleration | None = None,
) -> Iterator[Measure]:
    """Yield each unit as it is measured: one prompt, a step of each size and batch, one decode of each size."""
    stopwatch = _Stopwatch(device, measure_peak(device, dtype), parts.scale)
    with torch.inference_mode():
        yield _encoding(parts.text_encoder(), stopwatch)
        _free(device)
        yield from _stepping(parts.transformer(), stopwatch, sizes, batches, acceleration)
        _free(device)
        yield from _decoding(parts.vae(), stopwatch, sizes)


def peak_memory(device: torch.device) -> float:
    """Bytes held at most: of the device where it is CUDA, else of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True, slots=True)
class _Stopwatch:
    device: torch.device
    peak: float
    scale: int

    def latents(self, size: Size) -> tuple[int, int]:
        return size.height // self.scale, size.width // self.scale

    def measured(self, unit: str, action: Callable[[], Any], tokens: int = 0, flop: float | None = None) -> Measure:
        flop = self.count(action) if flop is None else flop
        action()  # the first run of a shape also prepares kernels and memory
        seconds = statistics.median(_times(action, self.device, _RUNS))
        return Measure(unit, seconds, flop, flop / seconds / self.peak, tokens)

    @staticmethod
    def count(action: Callable[[], Any]) -> float:
        with FlopCounterMode(display=False) as counter:
            action()
        return float(counter.get_total_flops())


def _encoding(encoder: Any, stopwatch: _Stopwatch) -> Measure:
    ids = torch.randint(0, encoder.config.vocab_size, (1, _CAPTION_TOKENS), device=encoder.device)
    # Torch's counter stumbles over grouped heads. With so few tokens attention is a hundredth of the products.
    weights = sum(parameter.numel() for parameter in encoder.layers.parameters())
    title = f"encode {_CAPTION_TOKENS} tokens"
    return stopwatch.measured(title, lambda: encoder(input_ids=ids), _CAPTION_TOKENS, 2.0 * weights * _CAPTION_TOKENS)


def _stepping(
    transformer: Any,
    stopwatch: _Stopwatch,
    sizes: Sequence[Size],
    batches: Sequence[int],
    acceleration: Acceleration | None,
) -> Iterator[Measure]:
    device, dtype = stopwatch.device, transformer.dtype
    caption = torch.randn(_CAPTION_TOKENS, transformer.config.cap_feat_dim, device=device, dtype=dtype)
    steps: list[tuple[str, Callable[[], Any], int, float]] = []
    for size in sizes:
        for count in batches:
            rows, columns = stopwatch.latents(size)
            latents = [torch.randn(16, 1, rows, columns, device=device, dtype=dtype)] * count
            moment = torch.full((count,), 0.5, device=device)
            step: Callable[[], Any] = partial(transformer, latents, moment, [caption] * count, return_dict=False)
            title = f"step {size}" + (f" of {count}" if count > 1 else "")
            # Counted before anything is compiled: a compiled graph hides its operations.
            tokens = count * (rows // 2 * (columns // 2) + _CAPTION_TOKENS)
            steps.append((title, step, tokens, stopwatch.count(step)))
    if acceleration is not None:
        acceleration.apply(transformer, resident=True)
    yield from (stopwatch.measured(*each) for each in steps)


def _decoding(vae: Any, stopwatch: _Stopwatch, sizes: Sequence[Size]) -> Iterator[Measure]:
    for size in sizes:
        latents = torch.randn(1, 16, *stopwatch.latents(size), device=stopwatch.device, dtype=vae.dtype)
        yield stopwatch.measured(f"decode {size}", partial(vae.decode, latents))


def _times(action: Callable[[], Any], device: torch.device, runs: int) -> list[float]:
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
