"""Diffusers' own ``ZImagePipeline`` with the weights in a folder: what the engine's pictures are compared with.

The parts are placed as the engine places them, since the same sums differ in their last bits between devices.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ZImagePipeline, ZImageTransformer2DModel

from zimage_engine.device.loading import place_transformer
from zimage_engine.device.memory import FULL_WIDTH, MemoryPlan, Placement
from zimage_engine.types import ImageRequest, RawImage

_CPU = torch.device("cpu")


class Reference:
    """A loaded pipeline. Blocks, both to load and to generate."""

    def __init__(self, folder: Path, device: torch.device, plan: MemoryPlan) -> None:
        dtype = torch.float32 if plan.width == FULL_WIDTH else torch.bfloat16
        options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
        # The largest part goes to its device before the others are read, so that the host need not hold all.
        transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer", **options)
        place_transformer(transformer, device, plan)
        self._pipeline: Any = ZImagePipeline.from_pretrained(folder, transformer=transformer, **options)
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.vae.to(device)
        self._device, self._placement = device, plan.placement
        if plan.placement is Placement.RESIDENT:
            self._pipeline.text_encoder.to(device)

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
        """Return the pipeline's arguments for the texts: embeddings if the text encoder is kept on the CPU."""
        negative = request.negative_prompt or None
        if self._placement is Placement.RESIDENT:
            return {"prompt": request.prompt, "negative_prompt": negative}
        encoder = self._pipeline.text_encoder
        where = self._device if self._placement is Placement.ENCODER_MOVES else _CPU
        encoder.to(where)
        embeddings = self._pipeline.encode_prompt(
            request.prompt,
            device=where,
            do_classifier_free_guidance=request.guidance_scale > 0,
            negative_prompt=negative,
        )
        encoder.to(_CPU)
        positive, without = ([each.to(self._device) for each in part] for part in embeddings)
        return {"prompt_embeds": positive, "negative_prompt_embeds": without}
