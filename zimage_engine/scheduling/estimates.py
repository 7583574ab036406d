"""What a request needs, before anything of it is done: its units, the size of a step, seconds. Free of torch."""

from __future__ import annotations

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.tokens import padded
from zimage_engine.types import ImageRequest, Unit

_TYPICAL_CAPTION_TOKENS = 32


def units_of(request: ImageRequest) -> tuple[Unit, ...]:
    """Return the units that a request needs, in order."""
    units = [Unit.ENCODE_TEXT]
    if request.original is not None:
        units.append(Unit.ENCODE_IMAGE)
    units += [Unit.DENOISE] * request.real_steps
    return (*units, Unit.DECODE)


def step_tokens(request: ImageRequest, pixels_per_token: int, caption_tokens: int = _TYPICAL_CAPTION_TOKENS) -> int:
    """Return the tokens of one sample of a step: those of the image and ``caption_tokens`` (padded)."""
    return padded(request.width * request.height // pixels_per_token) + caption_tokens


def step_samples(request: ImageRequest) -> int:
    """Return the samples of a step: guidance runs the transformer for the negative prompt, too."""
    return 2 if request.guidance_scale > 0 else 1


def unit_seconds(request: ImageRequest, costs: CostModel, pixels_per_token: int) -> dict[Unit, float]:
    """Return the predicted seconds of one unit of each kind, for a caption of typical length.

    Each is above 0: the requests of a batch share the seconds that it took in proportion to these.
    """
    pixels, samples = request.width * request.height, step_samples(request)
    return {
        Unit.ENCODE_TEXT: costs.encode(samples),
        Unit.ENCODE_IMAGE: costs.encode_image(pixels),
        Unit.DENOISE: costs.step(step_tokens(request, pixels_per_token), samples),
        Unit.DECODE: costs.decode(pixels),
    }
