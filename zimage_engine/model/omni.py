"""Editing by instruction, as diffusers' ``ZImageOmniPipeline`` does it with one image or none.

The transformer's omni mode reads one joined sequence: the prompt in pieces, the image that is to be changed as clean
latents, the picture in the making, and the image once more as SigLIP sees it. All steps are run; the seed's noise is
the same as without an image.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from PIL import Image

from zimage_engine.model.captions import Embedding, Transformer
from zimage_engine.model.sampling import from_raw_image
from zimage_engine.scheduling.tokens import TOKEN_MULTIPLE, padded
from zimage_engine.types import ImageRequest, RawImage

# The pipeline writes its chat by hand. Between vision marks it leaves the places of the image and of the answer.
_ALONE = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
_BEFORE = "<|im_start|>user\n<|vision_start|>"
_AROUND = ("<|vision_end|>", "<|im_end|>\n<|im_start|>assistant\n<|vision_start|>")
_AFTER = "<|vision_end|><|im_end|>"


@dataclass(frozen=True, slots=True)
class Vision:
    """A SigLIP 2 vision model, and the processor that cuts an image into its patches."""

    encoder: Any
    processor: Any


@dataclass(frozen=True, slots=True)
class Shown:
    """An image as the transformer takes it: clean ``latents`` ``(channels, 1, h, w)``, and SigLIP's ``features``.

    Those are ``(rows, columns, width)``: SigLIP scales the image to a grid of its own.
    """

    latents: torch.Tensor
    features: torch.Tensor


@dataclass(slots=True)
class Instruction(Embedding):
    """A prompt for the omni mode. ``states`` is the piece with the text; with an image, others stand around it.

    ``image_tokens`` is what the image adds to the joined sequence at most; it is ``shown`` once it is encoded.
    """

    before: tuple[torch.Tensor, ...] = ()
    after: tuple[torch.Tensor, ...] = ()
    image_tokens: int = 0
    shown: Shown | None = None

    @property
    def pieces(self) -> list[torch.Tensor]:
        return [*self.before, self.states, *self.after]

    @property
    def tokens(self) -> int:
        """All that is joined to the picture's own tokens: each piece is padded for itself."""
        return self.image_tokens + sum(padded(piece.shape[0]) for piece in self.pieces)


class Omni:
    """Reads instructions and images for the omni mode. ``dtype`` is the transformer's."""

    def __init__(self, vision: Vision, vae: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._vision = vision
        self._vae = vae
        self._device = device
        self._dtype = dtype
        config: Any = vae.config
        self._scaling, self._shift = float(config.scaling_factor), float(config.shift_factor or 0.0)
        self._pixels_per_token = (2 ** len(config.block_out_channels)) ** 2

    def instruction(self, request: ImageRequest, text: str, embed: Callable[[str], Embedding]) -> Instruction:
        """The request's prompt or negative prompt in the pieces that the pipeline makes of it.

        ``embed`` encodes a piece as it stands. The pieces around the text are always the same, and cheap in a cache.
        """
        if request.image is None:
            alone = embed(text.join(_ALONE))
            return Instruction(alone.states, alone.truncated)
        told = embed(text.join(_AROUND))
        return Instruction(
            told.states,
            told.truncated,
            before=(embed(_BEFORE).states,),
            after=(embed(_AFTER).states,),
            image_tokens=self._tokens(request),
        )

    def _tokens(self, request: ImageRequest) -> int:
        """The image's latents and SigLIP's patches; and the place of what SigLIP would see of the answer."""
        patches: int = self._vision.processor.max_num_patches
        return padded(request.width * request.height // self._pixels_per_token) + padded(patches) + TOKEN_MULTIPLE

    def show(self, image: RawImage, prompts: Sequence[Embedding | None]) -> None:
        """Encode the image for these instructions: both answers of guidance are given with it in view."""
        shown = Shown(self._latents(image), self._features(image))
        for prompt in prompts:
            if isinstance(prompt, Instruction):
                prompt.shown = shown

    def _latents(self, image: RawImage) -> torch.Tensor:
        """The mean of the posterior: no noise is drawn for it.

        The autoencoder is given its own type; the pipeline gives it bfloat16 whatever it takes, and fails in float32.
        """
        pixels = from_raw_image(image).to(self._device, self._vae.dtype)[None]
        # The layout of the pipeline's own pixels: in bfloat16 it decides the last bit.
        pixels = pixels.clone(memory_format=torch.channels_last)
        mean: torch.Tensor = self._vae.encode(pixels).latent_dist.mode()[0]
        return ((mean - self._shift) * self._scaling).unsqueeze(1).to(self._dtype)

    def _features(self, image: RawImage) -> torch.Tensor:
        picture = Image.frombytes("RGB", (image.width, image.height), image.data)
        patches = self._vision.processor(images=[picture], return_tensors="pt").to(self._device)
        rows, columns = patches.spatial_shapes[0].tolist()
        states: torch.Tensor = self._vision.encoder(**patches).last_hidden_state[0, : rows * columns]
        return states.view(rows, columns, -1).to(self._dtype)


class OmniTransformer(Transformer):
    """The transformer in omni mode, for :class:`Instruction` prompts.

    Nothing is replayed: captions are embedded in one go with all their pieces.
    """

    def __init__(self, transformer: Any, *, masks: bool = True) -> None:
        super().__init__(transformer, replay=False, masks=masks)

    def _kind(self, prompt: Embedding) -> Hashable:
        """In one forward all have an image or none has; without masks, all that is joined must be of one length."""
        shown = cast("Instruction", prompt).shown
        if self._masks:
            return shown is not None
        return prompt.tokens, 0 if shown is None else padded(shown.features.shape[:2].numel())

    def _forward(
        self, latents: list[torch.Tensor], time: torch.Tensor, prompts: Sequence[Embedding]
    ) -> list[torch.Tensor]:
        told = [cast("Instruction", prompt) for prompt in prompts]
        shown = [prompt.shown for prompt in told]
        answers: list[torch.Tensor] = self._whole(
            [[x] if image is None else [image.latents, x] for x, image in zip(latents, shown, strict=True)],
            time,
            [prompt.pieces for prompt in told],
            # A place for each image: SigLIP never sees the picture in the making.
            siglip_feats=[None if image is None else [image.features, None] for image in shown],
            image_noise_mask=[[1] if image is None else [0, 1] for image in shown],
            return_dict=False,
        )[0]
        return answers
