"""What makes the transformer faster on some devices: other attention kernels and compiled blocks; off by default."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from zimage_engine.device.out_of_memory import is_out_of_memory
from zimage_engine.types import NotAvailable, OutOfMemory

log = logging.getLogger(__name__)

_KERNELS_WITH_MASKS = frozenset({"native", "flex", "xformers", "_native_cudnn", "_native_efficient", "_native_math"})
_GRAPHS_MAX = 64


@dataclass(frozen=True, slots=True)
class Acceleration:
    """``attention`` is ``auto`` (torch's own) or one of diffusers' backends, such as ``flash`` or ``sage``.

    ``compiled`` compiles the transformer's repeated blocks: minutes at the first start, some seconds at later ones.
    """

    attention: str = "auto"
    compiled: bool = False

    def __str__(self) -> str:
        """Return a name for people and for the key of measurements; empty if both are off."""
        parts = []
        if self.attention != "auto":
            parts.append(f"attention {self.attention}")
        if self.compiled:
            parts.append("compiled")
        return ", ".join(parts)

    @property
    def takes_masks(self) -> bool:
        """False if the kernel raises on an attention mask, or is not known to take one."""
        return self.attention == "auto" or self.attention in _KERNELS_WITH_MASKS

    def apply(self, transformer: Any, *, resident: bool) -> None:
        """Set up the transformer. ``resident`` says that all of it is on its device; otherwise it is not compiled.

        Raises :class:`NotAvailable` if the kernel is unknown, not installed or does not run on this device,
        and :class:`OutOfMemory` if the device is too full to try it.
        """
        if self.attention != "auto":
            try:
                transformer.set_attention_backend(self.attention)
                if resident:
                    _try_out(transformer)
            except (ValueError, RuntimeError, ImportError, NotImplementedError, AssertionError) as error:
                if is_out_of_memory(error):
                    raise OutOfMemory("The device has too little memory left to run the model.") from error
                raise NotAvailable(
                    f"The attention kernel “{self.attention}” cannot be used here ({type(error).__name__}: "
                    f"{str(error).strip()[:200]}). Install what it needs, or set ATTENTION=auto."
                ) from error
        if self.compiled and not resident:
            log.warning("the transformer moves to the device block by block, and is not compiled")
        elif self.compiled:
            # All blocks are of one class: each combination of sizes, mask and mode compiles one more graph of its code.
            torch._dynamo.config.recompile_limit = _GRAPHS_MAX  # noqa: SLF001
            transformer.compile_repeated_blocks(dynamic=True)


def _try_out(transformer: Any) -> None:
    """Run one block's attention on a few tokens: some kernels raise only when they run."""
    attention = transformer.layers[0].attention
    weight = attention.to_q.weight
    with torch.inference_mode():
        attention(torch.zeros(1, 64, weight.shape[1], device=weight.device, dtype=weight.dtype))
