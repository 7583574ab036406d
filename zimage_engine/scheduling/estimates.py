"""What a request needs, before anything of it is done: its units, the size of a step, seconds. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.tokens import instruction_tokens, padded, text_tokens
from zimage_engine.types import ImageRequest, Unit

CACHED_TEXT_SECONDS = 1e-4
"""What a text unit takes if all of its texts are encoded already: looking them up, and making the noise."""


def units_of(request: ImageRequest) -> tuple[Unit, ...]:
    """Return the units that a request needs, in order."""
    units = [Unit.ENCODE_TEXT]
    if request.original is not None:
        units.append(Unit.ENCODE_IMAGE)
    units += [Unit.DENOISE] * request.real_steps
    return (*units, Unit.DECODE)


def texts_of(request: ImageRequest) -> tuple[str, ...]:
    """Return the texts that are encoded: the prompt and, if guidance is on, the negative prompt."""
    return (request.prompt,) if request.guidance_scale <= 0 else (request.prompt, request.negative_prompt)


def caption_tokens(request: ImageRequest, pixels_per_token: int, patches: int = 0) -> int:
    """Return the expected tokens that are joined to the image's in a step, padding included.

    ``patches`` is the size of SigLIP's view of an image, 0 unless the model edits by instruction: then the original's
    tokens and the pieces around the text are joined, too.
    """
    tokens = max(padded(text_tokens(text)) for text in texts_of(request))
    if patches and request.original is not None:
        tokens += instruction_tokens(request.width * request.height // pixels_per_token, patches)
    return tokens


def step_tokens(request: ImageRequest, pixels_per_token: int, caption: int) -> int:
    """Return the tokens of one sample of a step: those of the image and ``caption`` (padded)."""
    return padded(request.width * request.height // pixels_per_token) + caption


def step_samples(request: ImageRequest) -> int:
    """Return the samples of a step: guidance runs the transformer for the negative prompt, too."""
    return 2 if request.guidance_scale > 0 else 1


def unit_seconds(
    request: ImageRequest, costs: CostModel, pixels_per_token: int, caption: int, texts: Sequence[int]
) -> dict[Unit, float]:
    """Return the predicted seconds of one unit of each kind.

    ``caption`` is as in :func:`step_tokens`; ``texts`` are the tokens of the texts that are not encoded yet. Each unit
    takes more than 0: the requests of a batch share the seconds that it took in proportion to these.
    """
    pixels, samples = request.width * request.height, step_samples(request)
    return {
        Unit.ENCODE_TEXT: max(costs.encode(texts), CACHED_TEXT_SECONDS),
        Unit.ENCODE_IMAGE: costs.encode_image(pixels),
        Unit.DENOISE: costs.step(step_tokens(request, pixels_per_token, caption), samples),
        Unit.DECODE: costs.decode(pixels),
    }
