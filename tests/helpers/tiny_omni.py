"""A tiny Z-Image for edits by instruction, with random weights in diffusers' format, and its pipeline.

No such weights are published. Its images mean nothing, but depend on the same inputs as a real model's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    ZImageOmniPipeline,
    ZImageTransformer2DModel,
)
from PIL import Image
from torch import nn
from transformers import (
    AutoTokenizer,
    Qwen3Config,
    Qwen3Model,
    Siglip2ImageProcessorPil,
    Siglip2VisionConfig,
    Siglip2VisionModel,
)

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.pixels import to_png
from zimage_engine.preview_files import PREVIEW_FILE
from zimage_engine.types import ImageRequest, RawImage

SIZE_MULTIPLE = 8
EVEN, ODD = (96, 64), (72, 120)
"""Two sizes. The second's tokens are not a multiple of 32, and its SigLIP grid has empty places."""

CAPTION_WIDTH = 32
SIGLIP_WIDTH = 24
PATCHES = 20
"""Not a square number: SigLIP's grid is seldom full, so its padding matters."""

_CHANNELS = 4


def build_tiny_omni(folder: Path, *, siglip_width: int = SIGLIP_WIDTH) -> Path:
    """Save the model into ``folder`` and return it. The transformer takes features ``siglip_width`` wide."""
    tokenizer = AutoTokenizer.from_pretrained(DEMO_WEIGHTS / "tokenizer")
    tokenizer.add_tokens(["<|vision_start|>", "<|vision_end|>"], special_tokens=True)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        pipeline = ZImageOmniPipeline(
            FlowMatchEulerDiscreteScheduler(shift=3.0),
            _autoencoder(),
            _text_encoder(len(tokenizer)),
            tokenizer,
            _transformer(siglip_width),
            _siglip(),
            Siglip2ImageProcessorPil(patch_size=8, max_num_patches=PATCHES),
        )
        for part in (pipeline.vae, pipeline.text_encoder, pipeline.transformer, pipeline.siglip):
            _stir(part)
    pipeline.save_pretrained(folder)
    factors = [[0.1 * (row == column) for column in range(3)] for row in range(_CHANNELS)]
    (folder / PREVIEW_FILE).write_text(json.dumps({"factors": factors, "bias": [0.0] * 3}), encoding="utf-8")
    return folder


def _stir(part: nn.Module) -> None:
    """Randomise what is initialised to zeros, ones or tiny values: padding tokens, norms, the time's modulation."""
    for name, parameter in part.named_parameters():
        if parameter.ndim == 1 or parameter.shape[0] == 1:
            parameter.data += 0.3 * torch.randn_like(parameter)
        if "adaLN" in name:
            parameter.data *= 4


def _text_encoder(vocabulary: int) -> Qwen3Model:
    return Qwen3Model(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=CAPTION_WIDTH,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            initializer_range=0.5,
        )
    )


def _transformer(siglip_width: int) -> ZImageTransformer2DModel:
    return ZImageTransformer2DModel(
        in_channels=_CHANNELS,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=CAPTION_WIDTH,
        siglip_feat_dim=siglip_width,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 64, 64],
    )


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        latent_channels=_CHANNELS,
        norm_num_groups=4,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.7,
        shift_factor=0.1,
    )


def _siglip() -> Siglip2VisionModel:
    return Siglip2VisionModel(
        Siglip2VisionConfig(
            hidden_size=SIGLIP_WIDTH,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            patch_size=8,
            num_patches=16,
        )
    )


def pipeline_of(folder: Path, **options: object) -> ZImageOmniPipeline:
    loaded = ZImageOmniPipeline.from_pretrained(folder, **options)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def a_photo(width: int, height: int, shift: int = 0) -> bytes:
    """Return a PNG with edges and gradients; ``shift`` moves it sideways to make another one."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.roll(np.stack([across, down, 255 - across], axis=2).astype(np.uint8), shift, axis=1)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 30)
    return to_png(Image.fromarray(pixels))


def an_edit(name: str, size: tuple[int, int] = EVEN, **changes: Any) -> ImageRequest:
    ask = ImageRequest(name, "make the circle green", *size, 4, 1, original=a_photo(*size))
    return replace(ask, **changes)


def pixels(image: RawImage) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)


def drawn_by(pipeline: ZImageOmniPipeline, ask: ImageRequest) -> np.ndarray:
    """Call the pipeline in float32 for one image. Returns its pixels, ``(height, width, 3)``."""
    with pytest.MonkeyPatch.context() as patch:
        # It hands the autoencoder `image.bfloat16()`, whatever that takes, and so fails on an image in float32.
        patch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
        return np.asarray(call(pipeline, ask)[0]).astype(int)


def call(pipeline: ZImageOmniPipeline, ask: ImageRequest, **more: Any) -> Any:
    return pipeline(
        image=Image.open(BytesIO(ask.original)) if isinstance(ask.original, bytes) else None,
        prompt=ask.prompt,
        negative_prompt=ask.negative_prompt or None,
        height=ask.height,
        width=ask.width,
        num_inference_steps=ask.steps,
        guidance_scale=ask.guidance_scale,
        generator=torch.Generator().manual_seed(ask.seed),
        **more,
    ).images
