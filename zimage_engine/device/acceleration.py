"""What makes the transformer faster on some devices: another attention kernel, compiled blocks. Both are off."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from zimage_engine.types import NotAvailable

log = logging.getLogger(__name__)

_TAKE_MASKS = frozenset({"native", "flex", "xformers", "_native_cudnn", "_native_efficient", "_native_math"})
_MAX_GRAPHS = 64


@dataclass(frozen=True, slots=True)
class Acceleration:
    """``attention`` is ``auto`` (torch's own) or one of diffusers' backends, such as ``flash`` or ``sage``.

    ``compiled`` compiles the transformer's repeated blocks: minutes at the first start, some seconds at later ones.
    """

    attention: str = "auto"
    compiled: bool = False

    def __str__(self) -> str:
        """What a measurement of the device depends on; empty where everything is as it comes."""
        parts = [] if self.attention == "auto" else [f"attention {self.attention}"]
        return ", ".join(parts + ["compiled"] * self.compiled)

    @property
    def takes_masks(self) -> bool:
        """False where the kernel raises on an attention mask, or is not known to take one."""
        return self.attention == "auto" or self.attention in _TAKE_MASKS

    def apply(self, transformer: Any, *, resident: bool) -> None:
        """Prepare the transformer; ``resident`` where it lies on its device as a whole. What moves is not compiled.

        Raises :class:`NotAvailable` where the kernel is not known, not installed or not for this device.
        """
        if self.attention != "auto":
            try:
                transformer.set_attention_backend(self.attention)
                if resident:
                    _try_out(transformer)
            except (ValueError, RuntimeError, ImportError, NotImplementedError, AssertionError) as error:
                raise NotAvailable(
                    f"The attention kernel “{self.attention}” cannot be used here ({type(error).__name__}: "
                    f"{str(error).strip()[:200]}). Install what it needs, or set ATTENTION=auto."
                ) from error
        if self.compiled and not resident:
            log.warning("the transformer moves to the device block by block, and is not compiled")
        elif self.compiled:
            # The blocks are of one class: each combination of sizes, mask and mode is one more graph of its code.
            torch._dynamo.config.recompile_limit = _MAX_GRAPHS  # noqa: SLF001
            transformer.compile_repeated_blocks(dynamic=True)


def _try_out(transformer: Any) -> None:
    """One block's attention on a few tokens: some kernels tell only then that they cannot."""
    attention = transformer.layers[0].attention
    weight = attention.to_q.weight
    with torch.inference_mode():
        attention(torch.zeros(1, 64, weight.shape[1], device=weight.device, dtype=weight.dtype))
