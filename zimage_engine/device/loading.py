"""Load the weights in a folder onto a device. Only safetensors are read, and no remote code is run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.devices import device_memory_free, host_memory_free, kind_of
from zimage_engine.device.memory import (
    FULL_WIDTH,
    SIGLIP,
    WIDTHS,
    MemoryPlan,
    Placement,
    fitting_plans,
    part_sizes,
)
from zimage_engine.device.out_of_memory import free_memory, is_out_of_memory
from zimage_engine.model.model import Components
from zimage_engine.model.omni import Vision
from zimage_engine.model.sampling import SigmaSchedule
from zimage_engine.types import ModelNotFound, NumericalError, OutOfMemory
from zimage_engine.weights import Report, check_scheduler, has_siglip

log = logging.getLogger(__name__)

T = TypeVar("T")

_TRIAL_STEPS, _TRIAL_TOKENS = 8, 1024

_NO_ACCELERATION = Acceleration()

LOADING = threading.RLock()
"""Held while a model is loaded."""


def plan_for(folder: Path, device: torch.device, dtype_name: str = "auto") -> MemoryPlan:
    """Return the first of :func:`plans_for`."""
    return plans_for(folder, device, dtype_name)[0]


def plans_for(folder: Path, device: torch.device, dtype_name: str = "auto") -> list[MemoryPlan]:
    """Return where the parts of the model in ``folder`` may go with the memory that is free now, the fastest way first.

    ``auto`` is bfloat16 on a GPU and, on the CPU, float32 if it fits. float16 is not offered: Z-Image overflows in it.
    Raises :class:`OutOfMemory` with the GB that are missing.
    """
    host, own = host_memory_free(), device_memory_free(device)
    device_free = host if own is None else own
    return fitting_plans(part_sizes(folder), kind_of(device), device_free, host, WIDTHS[dtype_name])


def load_stepping_down(plans: Sequence[MemoryPlan], load: Callable[[MemoryPlan], T]) -> T:
    """Return what ``load`` returns for the first plan with which it does not run out of memory.

    Only one model is loaded in this process at a time. Raises :class:`OutOfMemory` if the last plan runs out, too.
    """
    with LOADING:
        for plan, slower in pairwise(plans):
            try:
                return load(plan)
            except (OutOfMemory, RuntimeError, MemoryError) as error:
                if not isinstance(error, OutOfMemory) and not is_out_of_memory(error):
                    raise
                log.warning("too little memory for %s (%s); next: %s", plan, error, slower)
                # The frames of the error and of its cause hold what was loaded.
                error.__traceback__ = error.__cause__ = error.__context__ = None
            free_memory()
        try:
            return load(plans[-1])
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _out_of_memory() from error
            raise


def load_components(
    folder: Path,
    device: torch.device,
    plan: MemoryPlan,
    acceleration: Acceleration = _NO_ACCELERATION,
    report: Report = lambda _: None,
) -> Components:
    """Load the weights as the plan says, ready to run.

    Each part goes from its safetensors to its device before the next is read, so that the host holds only one. Only
    one model is loaded in this process at a time: while they load, transformers and diffusers change the base class of
    modules and torch's default type, for all threads.

    Raises :class:`ModelNotFound` if a part is missing, damaged or of another architecture, :class:`OutOfMemory` if the
    device is too full, and :class:`NotAvailable` if the acceleration is not supported.
    """
    with LOADING:
        return _load_components(folder, device, plan, acceleration, report)


def _load_components(
    folder: Path, device: torch.device, plan: MemoryPlan, acceleration: Acceleration, report: Report
) -> Components:
    dtype = torch.float32 if plan.width == FULL_WIDTH else torch.bfloat16
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    resident = plan.placement is Placement.RESIDENT
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False)
        report("reading the transformer")
        transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer", **options)
        place_transformer(transformer, device, plan)
        report("reading the image decoder")
        vae = _place(AutoencoderKL.from_pretrained(folder / "vae", **options), device)
        vision = _load_vision(folder, device, transformer.config.siglip_feat_dim, options, report)
        report("reading the text encoder")
        # Last, since it may stay on the host, which holds one part at a time until here.
        text_encoder = AutoModel.from_pretrained(folder / "text_encoder", **options)
        _place(text_encoder, device if resident else torch.device("cpu"))
        scheduler = _load_scheduler(folder)
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise _out_of_memory() from error
        raise ModelNotFound(
            f"The weights in {folder} cannot be read ({type(error).__name__}: {str(error)[:200]}). "
            "Download them again, or name another folder with MODEL."
        ) from error
    acceleration.apply(transformer, resident=plan.placement is not Placement.GROUP_OFFLOAD)
    masks = acceleration.takes_masks
    return Components(tokenizer, text_encoder, transformer, vae, scheduler, plan.placement, masks, vision)


def _load_scheduler(folder: Path) -> dict[str, Any]:
    """Return the scheduler's config. Raises :class:`ModelNotFound` if the engine cannot do what it says."""
    config = dict(FlowMatchEulerDiscreteScheduler.load_config(folder / "scheduler"))
    check_scheduler(config, str(folder))
    try:
        SigmaSchedule(config, torch.device("cpu")).levels(_TRIAL_STEPS, _TRIAL_TOKENS)
    except (ValueError, ArithmeticError, NumericalError) as error:
        raise ModelNotFound(f"The scheduler in {folder} gives no noise levels: {str(error)[:200]}") from error
    return config


def _load_vision(
    folder: Path, device: torch.device, width: int | None, options: dict[str, Any], report: Report
) -> Vision | None:
    """Load SigLIP if the model edits by instruction; ``width`` is that of the image features the transformer takes."""
    if not has_siglip(json.loads((folder / "model_index.json").read_text(encoding="utf-8"))):
        return None
    report("reading the image encoder")
    encoder = _place(AutoModel.from_pretrained(folder / SIGLIP, **options), device)
    processor = AutoImageProcessor.from_pretrained(folder / f"{SIGLIP}_processor", local_files_only=True)
    if encoder.config.hidden_size != width:
        raise ModelNotFound(
            f"The parts in {folder} are of different models: SigLIP's features are {encoder.config.hidden_size} wide, "
            f"the transformer takes {width or 'none'}. Download them again, or name another folder with MODEL."
        )
    return Vision(encoder, processor)


def place_transformer(transformer: Any, device: torch.device, plan: MemoryPlan) -> None:
    """Put the transformer on the device, as a whole or, as the plan says, block by block while it runs."""
    if plan.placement is not Placement.GROUP_OFFLOAD:
        _place(transformer, device)
        return
    transformer.eval().requires_grad_(requires_grad=False)
    transformer.enable_group_offload(
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
        low_cpu_mem_usage=True,
    )


def _out_of_memory() -> OutOfMemory:
    return OutOfMemory("The device ran out of memory while loading: close other programs that use it.")


def _place(part: Any, device: torch.device) -> Any:
    return part.to(device).eval().requires_grad_(requires_grad=False)
