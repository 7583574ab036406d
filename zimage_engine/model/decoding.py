"""Decodes latents to pixels: in tiles where memory is small, and in float32 where half precision overflows."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

import torch

from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.model.sampling import to_raw_image
from zimage_engine.types import NumericalError, RawImage

log = logging.getLogger(__name__)


class ImageDecoder:
    """The decoder of an ``AutoencoderKL``."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self._scaling, self._shift = float(vae.config.scaling_factor), float(vae.config.shift_factor or 0.0)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode ``(channels, h, w)`` latents to pixels ``(3, height, width)`` in −1 … 1 on the device.

        Does not wait for the device. Decodes in tiles with blended seams if memory is too small for all at once.
        """
        return self._decode(self._vae, latents)

    def to_image(self, latents: torch.Tensor, decoded: torch.Tensor) -> RawImage:
        """Return ``decoded``, what :meth:`decode` returned for these latents, as an image; waits for the device.

        Pixels that are not finite or all black are decoded once more in float32. Raises :class:`NumericalError` if that
        does not help or the autoencoder is in float32 already.
        """
        image = _checked_image(decoded)
        if image is None and self._vae.dtype != torch.float32:
            # Some decoders overflow in half precision; the latents are finite, so float32 may still decode them. By a
            # copy, since another thread may be decoding with the decoder itself.
            image = _checked_image(self._decode(deepcopy(self._vae).to(torch.float32), latents))
        if image is None:
            raise broken_numbers()
        return image

    def _decode(self, vae: Any, latents: torch.Tensor) -> torch.Tensor:
        scaled = latents.to(vae.dtype)[None] / self._scaling + self._shift
        try:
            return _decoded(vae, scaled)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # its frames hold tensors that have to be freed
        log.info("too little memory to decode %s latents at once; in tiles", tuple(latents.shape[-2:]))
        free_memory()
        vae.enable_tiling()
        try:
            return _decoded(vae, scaled)
        finally:
            vae.disable_tiling()


def _decoded(vae: Any, scaled: torch.Tensor) -> torch.Tensor:
    pixels: torch.Tensor = vae.decode(scaled, return_dict=False)[0][0]
    return pixels


def _checked_image(decoded: torch.Tensor) -> RawImage | None:
    """Return ``(3, height, width)`` pixels as an image; None if they are not finite or all black.

    A decoder that overflows may saturate instead of returning NaN, which also gives a black picture.
    """
    if not torch.isfinite(decoded).all():
        return None
    image = to_raw_image(decoded)
    return None if image.data.count(0) == len(image.data) else image


def broken_numbers() -> NumericalError:
    """Return the error for a picture of values that are not finite."""
    return NumericalError(
        "The model produced broken numbers for this picture. Try another seed; if it happens again, tell the "
        "operator: the data type may not suit the device."
    )
