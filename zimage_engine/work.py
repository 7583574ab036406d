"""How much arithmetic the parts of a model do, from the dimensions in their config files. Free of torch.

Work is counted in FLOP, as torch's ``FlopCounterMode`` does: two for each multiplication of a matrix product or a
convolution. What is below a hundredth of a part's work is left out: norms, embedders, modulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_PATCH = 2
"""The side of an image token, in latents."""

_KERNEL = 9
"""The weights of a convolution's kernel: 3 × 3."""


@dataclass(frozen=True, slots=True)
class Layers:
    """``count`` equal layers of attention and a gated feed-forward.

    ``width`` is that of a token, ``hidden`` that of the feed-forward; there are ``heads`` queries and ``key_heads``
    keys and values of ``head_width`` each.
    """

    count: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head_width: int

    def flop(self, tokens: int) -> int:
        """Return the FLOP of one layer for a sequence of ``tokens``, in which each attends to all."""
        queries, keys = self.heads * self.head_width, self.key_heads * self.head_width
        weights = self.width * (2 * queries + 2 * keys + 3 * self.hidden)
        return 2 * tokens * weights + 4 * tokens * tokens * queries


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of an ``AutoencoderKL``: ``channels`` as its config has them, from pixels to latents."""

    channels: tuple[int, ...]
    layers: int
    latent_channels: int
    attention: bool

    @property
    def scale(self) -> int:
        """The pixels of a latent's side."""
        return int(2 ** (len(self.channels) - 1))

    def flop(self, pixels: int) -> int:
        """Return the FLOP of decoding an image of so many pixels."""
        latents = pixels // self.scale**2
        deepest = self.channels[-1]
        work = 2 * latents * (_KERNEL * self.latent_channels * deepest + 2 * _residual(deepest, deepest))
        if self.attention:
            work += 8 * latents * deepest * deepest + 4 * latents * latents * deepest
        upwards = (deepest, *reversed(self.channels))
        for level, (wide, narrow) in enumerate(pairwise(upwards)):
            work += 2 * latents * (_residual(wide, narrow) + self.layers * _residual(narrow, narrow))
            if level < len(self.channels) - 1:
                latents *= 4
                work += 2 * latents * _KERNEL * narrow * narrow
        return work + 2 * latents * _KERNEL * self.channels[0] * 3


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The dimensions of a model's parts that its work depends on.

    ``refiners`` is how many layers run over the image's tokens alone, and again over the caption's, before the
    ``transformer``'s layers run over both.
    """

    transformer: Layers
    refiners: int
    text_encoder: Layers
    decoder: Decoder

    @classmethod
    def from_configs(
        cls, transformer: Mapping[str, Any], text_encoder: Mapping[str, Any], vae: Mapping[str, Any]
    ) -> Dimensions:
        """Return the dimensions in the ``config.json`` of each part. Raises :class:`KeyError` for one that is missing.

        What the transformer's and the decoder's config leave out has diffusers' default.
        """
        width, heads = transformer.get("dim", 3840), transformer.get("n_heads", 30)
        encoder_heads = text_encoder["num_attention_heads"]
        return cls(
            transformer=Layers(
                count=transformer.get("n_layers", 30),
                width=width,
                hidden=int(width / 3 * 8),
                heads=heads,
                key_heads=heads,
                head_width=width // heads,
            ),
            refiners=transformer.get("n_refiner_layers", 2),
            text_encoder=Layers(
                count=text_encoder["num_hidden_layers"],
                width=text_encoder["hidden_size"],
                hidden=text_encoder["intermediate_size"],
                heads=encoder_heads,
                key_heads=text_encoder.get("num_key_value_heads", encoder_heads),
                head_width=text_encoder.get("head_dim") or text_encoder["hidden_size"] // encoder_heads,
            ),
            decoder=Decoder(
                channels=tuple(vae["block_out_channels"]),
                layers=vae.get("layers_per_block", 1),
                latent_channels=vae.get("latent_channels", 4),
                attention=vae.get("mid_block_add_attention", True),
            ),
        )

    def image_tokens(self, pixels: int) -> int:
        """Return the tokens of an image of so many pixels, before padding."""
        return int(pixels // (self.decoder.scale * _PATCH) ** 2)

    def denoise(self, image_tokens: int, caption_tokens: int) -> int:
        """Return the FLOP of one forward of the transformer for one sample; both counts with their padding."""
        layer = self.transformer.flop
        joint = self.transformer.count * layer(image_tokens + caption_tokens)
        return joint + self.refiners * (layer(image_tokens) + layer(caption_tokens))

    def encode_text(self, tokens: int) -> int:
        """Return the FLOP of encoding a text of so many tokens, with their padding."""
        return self.text_encoder.count * self.text_encoder.flop(tokens)

    def decode(self, pixels: int) -> int:
        """Return the FLOP of decoding an image of so many pixels."""
        return self.decoder.flop(pixels)


def _residual(wide: int, narrow: int) -> int:
    """Return the weights of a residual block; it has a shortcut if it changes the number of channels."""
    return _KERNEL * narrow * (wide + narrow) + (wide * narrow if wide != narrow else 0)
