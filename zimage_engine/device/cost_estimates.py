"""What the units of a model that has not been loaded here yet may cost, from another model's costs. Free of torch."""

from __future__ import annotations

from dataclasses import replace

from zimage_engine.profiles import ModelProfile
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.tokens import TOKEN_MULTIPLE, padded

_TEXT_TOKENS = 2 * TOKEN_MULTIPLE


def estimated_costs(known: CostModel, of: ModelProfile, profile: ModelProfile) -> CostModel:
    """Return what the units of ``profile``'s model may cost on a device that has the ``known`` costs of another one.

    Each cost is scaled by the FLOP of its unit for a picture of ``profile``'s base size. The budget shrinks as the
    tokens become more expensive: a larger model fills the device with fewer of them.
    """
    pixels = profile.base_size.pixels
    ours, theirs = profile.dimensions, of.dimensions
    image = padded(ours.image_tokens(pixels))
    step = ours.denoise(image, TOKEN_MULTIPLE) / theirs.denoise(image, TOKEN_MULTIPLE)
    text = ours.encode_text(_TEXT_TOKENS) / theirs.encode_text(_TEXT_TOKENS)
    return replace(
        known,
        base=known.base * ours.transformer.count / theirs.transformer.count,  # that of starting each layer's kernels
        linear=known.linear * step,
        square=known.square * step,
        encode_text=known.encode_text * ours.text_encoder.count / theirs.text_encoder.count,
        encode_token=known.encode_token * text,
        pixel=known.pixel * ours.decode(pixels) / theirs.decode(pixels),
        budget=int(known.budget / max(1.0, step)),
        correction={},
    )
