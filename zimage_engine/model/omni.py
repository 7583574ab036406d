"""Editing by instruction, as diffusers' ``ZImageOmniPipeline`` does it with one image or none.

In omni mode the input of the transformer is one joined sequence: the prompt in pieces, the clean latents of the input
image, the noisy latents of the picture that is generated, and SigLIP's features of the input image. All steps are run;
the seed's noise is the same as without an image.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from zimage_engine.model.captions import Embedding, Transformer
from zimage_engine.model.sampling import from_raw_image
from zimage_engine.scheduling.tokens import instruction_image_tokens, padded
from zimage_engine.types import ImageRequest, RawImage

# The chat template as the pipeline writes it, with empty places between vision marks for the image and the answer.
_AROUND_TEXT_ALONE = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
_BEFORE_IMAGE = "<|im_start|>user\n<|vision_start|>"
_AROUND_TEXT = ("<|vision_end|>", "<|im_end|>\n<|im_start|>assistant\n<|vision_start|>")
_AFTER_TEXT = "<|vision_end|><|im_end|>"


Embed = Callable[[str, str], Embedding]
"""Encodes a text for a scope."""


@dataclass(frozen=True, slots=True)
class Vision:
    """A SigLIP 2 vision model, and the processor that cuts an image into patches."""

    encoder: Any
    processor: Any


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as the transformer takes it: clean ``latents`` ``(channels, 1, h, w)``, and SigLIP's ``features``.

    ``features`` are ``(rows, columns, width)``: SigLIP scales the image to a grid of its own.
    """

    latents: torch.Tensor
    features: torch.Tensor


@dataclass(slots=True)
class Instruction(Embedding):
    """A prompt for the omni mode. ``states`` is the piece with the text; ``before`` and ``after`` are the others.

    With an image, ``image_tokens`` is the most tokens that it adds to the joined sequence, and ``encoded_image`` is set
    by :meth:`Omni.encode_image`.
    """

    before: tuple[torch.Tensor, ...] = ()
    after: tuple[torch.Tensor, ...] = ()
    image_tokens: int = 0
    encoded_image: EncodedImage | None = None

    @property
    def pieces(self) -> list[torch.Tensor]:
        return [*self.before, self.states, *self.after]

    @property
    def tokens(self) -> int:
        """Tokens that are joined to those of the generated picture. Each piece is padded on its own."""
        return self.image_tokens + sum(padded(piece.shape[0]) for piece in self.pieces)

    @property
    def last_position(self) -> int:
        """The highest position on the first axis: after each piece, unpadded, an image and its features have one."""
        start = last = 1
        for piece in self.pieces:
            tokens = piece.shape[0]
            last = max(last, start + padded(tokens) - 1, start + tokens + 1)
            start += tokens + 2
        return last


class Omni:
    """Encodes prompts and images for the omni mode. ``dtype`` is the transformer's."""

    def __init__(self, vision: Vision, vae: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._vision = vision
        self._vae = vae
        self._device = device
        self._dtype = dtype
        config: Any = vae.config
        self._scaling, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self._pixels_per_token = (2 ** len(config.block_out_channels)) ** 2

    def instruction(self, request: ImageRequest, text: str, scope: str, embed: Embed) -> Instruction:
        """Encode the request's prompt or negative prompt, in the pieces in which the pipeline encodes it.

        ``embed`` encodes one piece for a scope and should cache it. The pieces around the text are always the same,
        and so are of no scope.
        """
        if request.original is None:
            alone = embed(scope, text.join(_AROUND_TEXT_ALONE))
            return Instruction(alone.states, alone.truncated)
        embedding = embed(scope, text.join(_AROUND_TEXT))
        return Instruction(
            embedding.states,
            embedding.truncated,
            before=(embed("", _BEFORE_IMAGE).states,),
            after=(embed("", _AFTER_TEXT).states,),
            image_tokens=self._tokens(request),
        )

    def _tokens(self, request: ImageRequest) -> int:
        patches: int = self._vision.processor.max_num_patches
        return instruction_image_tokens(request.width * request.height // self._pixels_per_token, patches)

    def encode_image(self, image: RawImage, prompts: Sequence[Embedding | None]) -> None:
        """Encode the image and add it to these prompts: guidance uses it for the negative prompt, too."""
        encoded = EncodedImage(self._latents(image), self._features(image))
        for prompt in prompts:
            if isinstance(prompt, Instruction):
                prompt.encoded_image = encoded

    def _latents(self, image: RawImage) -> torch.Tensor:
        """Return the mean of the posterior, which needs no noise.

        Unlike here, the pipeline always passes bfloat16 to the autoencoder, and so fails if that is in float32.
        """
        pixels = from_raw_image(image).to(self._device, self._vae.dtype)[None]
        # The memory layout of the pipeline's own pixels: in bfloat16 it changes the last bit of the result.
        pixels = pixels.clone(memory_format=torch.channels_last)
        mean: torch.Tensor = self._vae.encode(pixels).latent_dist.mode()[0]
        return ((mean - self._shift) * self._scaling).unsqueeze(1).to(self._dtype)

    def _features(self, image: RawImage) -> torch.Tensor:
        patches = self._vision.processor(images=[image.to_pil()], return_tensors="pt").to(self._device)
        rows, columns = patches.spatial_shapes[0].tolist()
        states: torch.Tensor = self._vision.encoder(**patches).last_hidden_state[0, : rows * columns]
        return states.view(rows, columns, -1).to(self._dtype)


class OmniTransformer(Transformer):
    """The transformer in omni mode, for :class:`Instruction` prompts.

    The caption branch is not replayed: it embeds all pieces of a prompt at once.
    """

    def __init__(self, transformer: Any, *, masks: bool = True) -> None:
        super().__init__(transformer, replay=False, masks=masks)

    def _group_key(self, prompt: Embedding) -> Hashable:
        """Separate prompts with an image from those without; without masks, also joined sequences by their length."""
        image = cast("Instruction", prompt).encoded_image
        if self._masks:
            return image is not None
        return prompt.tokens, 0 if image is None else padded(image.features.shape[:2].numel())

    def _forward(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
        instructions = [cast("Instruction", prompt) for prompt in prompts]
        images = [instruction.encoded_image for instruction in instructions]
        outputs: list[torch.Tensor] = self._whole(
            [[x] if image is None else [image.latents, x] for x, image in zip(latents, images, strict=True)],
            time,
            [instruction.pieces for instruction in instructions],
            # One entry for each image of the sequence: the generated picture has no SigLIP features.
            siglip_feats=[None if image is None else [image.features, None] for image in images],
            image_noise_mask=[[1] if image is None else [0, 1] for image in images],
            return_dict=False,
        )[0]
        return outputs
