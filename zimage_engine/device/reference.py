"""Diffusers' own ``ZImagePipeline`` with the weights in a folder: what the engine's pictures are compared with.

The parts are placed as the engine places them, since the same sums differ in their last bits between devices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ZImagePipeline

from zimage_engine.device.loading import place_transformer
from zimage_engine.device.memory import FULL_WIDTH, MemoryPlan, Placement
from zimage_engine.types import ImageRequest, RawImage

_CPU = torch.device("cpu")
_ENCODER_STAYS = (Placement.ENCODER_ON_CPU, Placement.GROUP_OFFLOAD)


class Reference:
    """A loaded pipeline. Blocks, both to load and to generate."""

    def __init__(self, folder: Path, device: torch.device, plan: MemoryPlan) -> None:
        dtype = torch.float32 if plan.width == FULL_WIDTH else torch.bfloat16
        self._pipeline: Any = ZImagePipeline.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self._device, self._encoder_stays = device, plan.placement in _ENCODER_STAYS
        if plan.placement is Placement.RESIDENT:
            self._pipeline.to(device)
        elif plan.placement is Placement.ENCODER_MOVES:
            self._pipeline.enable_model_cpu_offload(device=device)
        else:
            self._pipeline.vae.to(device)
            place_transformer(self._pipeline.transformer, device, plan)

    def generate(self, request: ImageRequest) -> RawImage:
        """Return the pipeline's picture for a request without an original."""
        image = self._pipeline(
            **self._texts(request),
            height=request.height,
            width=request.width,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator().manual_seed(request.seed),
        ).images[0]
        return RawImage(image.width, image.height, image.convert("RGB").tobytes())

    @torch.no_grad()
    def _texts(self, request: ImageRequest) -> dict[str, Any]:
        """Return the pipeline's arguments for the texts: embeddings if the text encoder is on another device."""
        negative = request.negative_prompt or None
        if not self._encoder_stays:
            return {"prompt": request.prompt, "negative_prompt": negative}
        embeddings = self._pipeline.encode_prompt(
            request.prompt,
            device=_CPU,
            do_classifier_free_guidance=request.guidance_scale > 0,
            negative_prompt=negative,
        )
        positive, without = ([each.to(self._device) for each in part] for part in embeddings)
        return {"prompt_embeds": positive, "negative_prompt_embeds": without}
