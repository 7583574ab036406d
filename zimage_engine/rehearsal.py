"""The full-size model with random weights on this machine: no download, real dimensions, real speed.

Text encoder, transformer and decoder are built one after the other, so that the largest alone has to fit.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3Model

from zimage_engine.profiles import Size

_CAPTION_TOKENS = 128
_CAPTION_FEATURES = 2560
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


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large square matrix product: what the device can do at most, measured."""
    matrix = torch.randn(_PEAK_SIDE, _PEAK_SIDE, device=device, dtype=dtype)
    return 2 * _PEAK_SIDE**3 / min(_times(lambda: matrix @ matrix, device, 2 * _RUNS))


def rehearse(device: torch.device, dtype: torch.dtype, sizes: list[Size]) -> Iterator[Measure]:
    """Yield each unit as it is measured: one prompt, one step of each size, one decode of each size."""
    peak = measure_peak(device, dtype)
    with torch.inference_mode():
        yield from _encoding(device, dtype, peak)
        _free(device)
        yield from _stepping(device, dtype, sizes, peak)
        _free(device)
        yield from _decoding(device, dtype, sizes, peak)


def peak_memory(device: torch.device) -> float:
    """Bytes held at most: of the device where it is CUDA, else of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _encoding(device: torch.device, dtype: torch.dtype, peak: float) -> Iterator[Measure]:
    """Qwen3-4B, as Z-Image uses it."""
    config = Qwen3Config(
        vocab_size=151_936,
        hidden_size=_CAPTION_FEATURES,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        use_cache=False,
    )
    encoder = _random(lambda: Qwen3Model(config), device, dtype)
    ids = torch.randint(0, 151_936, (1, _CAPTION_TOKENS), device=device)
    yield _measured("encode 128 tokens", lambda: encoder(input_ids=ids), device, peak, _CAPTION_TOKENS)


def _stepping(device: torch.device, dtype: torch.dtype, sizes: list[Size], peak: float) -> Iterator[Measure]:
    """The transformer's own defaults are Z-Image's dimensions."""
    transformer = _random(ZImageTransformer2DModel, device, dtype)
    caption = [torch.randn(_CAPTION_TOKENS, _CAPTION_FEATURES, device=device, dtype=dtype)]
    moment = torch.full((1,), 0.5, device=device)
    for size in sizes:
        latents = [torch.randn(16, 1, size.height // 8, size.width // 8, device=device, dtype=dtype)]
        tokens = size.pixels // 256 + _CAPTION_TOKENS
        step = partial(transformer, latents, moment, caption, return_dict=False)
        yield _measured(f"step {size}", step, device, peak, tokens)


def _decoding(device: torch.device, dtype: torch.dtype, sizes: list[Size], peak: float) -> Iterator[Measure]:
    """The autoencoder of FLUX.1, which Z-Image decodes with."""
    channels = (128, 256, 512, 512)
    vae = _random(
        lambda: AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=channels,
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        device,
        dtype,
    )
    for size in sizes:
        latents = torch.randn(1, 16, size.height // 8, size.width // 8, device=device, dtype=dtype)
        yield _measured(f"decode {size}", partial(vae.decode, latents), device, peak)


def _random(build: Callable[[], Any], device: torch.device, dtype: torch.dtype) -> Any:
    """A module with random weights, made in its final place and type: nothing is ever held twice."""
    with torch.device("meta"):
        module = build().to(dtype)
    # What is no parameter (tables of positions) is computed when a module is made, and must not be random.
    module.to_empty(device=device)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.02)
        for buffer in module.buffers():
            buffer.zero_()
    return module.eval()


def _measured(unit: str, action: Callable[[], Any], device: torch.device, peak: float, tokens: int = 0) -> Measure:
    with FlopCounterMode(display=False) as counter:
        action()
    seconds = statistics.median(_times(action, device, _RUNS))
    flop = float(counter.get_total_flops())
    return Measure(unit, seconds, flop, flop / seconds / peak, tokens)


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
