"""Generate with the shipped demo model as the product does: with the engine's model, but without its queue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.loading import load_components, plan_for
from zimage_engine.model.model import ZImageModel
from zimage_engine.types import ImageRequest

STEPS = 8
_BATCH = 8


def load_demo() -> ZImageModel:
    """Load the shipped weights in float32 on the CPU."""
    device = torch.device("cpu")
    return ZImageModel(load_components(DEMO_WEIGHTS, device, plan_for(DEMO_WEIGHTS, device, "float32")), device)


def draw_requests(model: ZImageModel, requests: Sequence[ImageRequest]) -> list[Image.Image]:
    """Return the pictures, RGB, in the requests' order. The requests must share size and number of real steps."""
    pictures: list[Image.Image] = []
    for batch in (requests[i : i + _BATCH] for i in range(0, len(requests), _BATCH)):
        generations = [model.start(request) for request in batch]
        for generation in generations:
            if generation.request.original is not None:
                model.read_image(generation)
        for _ in range(batch[0].real_steps):
            model.step(generations)
        pictures += [model.to_image(generation, model.decode(generation)).to_pil() for generation in generations]
    return pictures
