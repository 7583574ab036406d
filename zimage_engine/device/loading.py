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
from zimage_engine.places import DevicePlace
from zimage_engine.types import ModelNotFound, NumericalError, OutOfMemory
from zimage_engine.weights import Report, check_scheduler, has_siglip

log = logging.getLogger(__name__)

T = TypeVar("T")
AnyPlan = TypeVar("AnyPlan")

Once = Callable[[str, Callable[[], Any]], Any]
"""Returns a part, by the name of its folder: one that is loaded already, or what the given function loads."""

_TRIAL_STEPS, _TRIAL_TOKENS = 8, 1024

_NO_ACCELERATION = Acceleration()

LOADING = threading.RLock()
"""Held while a model is loaded."""


def plan_for(
    folder: Path, device: torch.device, dtype_name: str = "auto", place: DevicePlace | None = None
) -> MemoryPlan:
    """Return the first of :func:`plans_for`."""
    return plans_for(folder, device, dtype_name, place)[0]


def plans_for(
    folder: Path, device: torch.device, dtype_name: str = "auto", place: DevicePlace | None = None
) -> list[MemoryPlan]:
    """Return where the parts of the model in ``folder`` may go with the memory that is free now, the fastest way first.

    That is ``place``'s part of it, if there is one.
    ``auto`` is bfloat16 on a GPU and, on the CPU, float32 if it fits. float16 is not offered: Z-Image overflows in it.
    Raises :class:`OutOfMemory` with the GB that are missing.
    """
    part_of = (place or DevicePlace("", "", ())).part_of
    free = part_of(device_memory_free(device), host_memory_free())
    return fitting_plans(part_sizes(folder), kind_of(device), *free, WIDTHS[dtype_name])


def load_stepping_down(plans: Sequence[AnyPlan], load: Callable[[AnyPlan], T]) -> T:
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
    once: Once = lambda _, load: load(),
) -> Components:
    """Load the weights as the plan says, ready to run. Parts that ``once`` has already are not read.

    Each part goes from its safetensors to its device before the next is read, so that the host holds only one. Only
    one model is loaded in this process at a time: while they load, transformers and diffusers change the base class of
    modules and torch's default type, for all threads.

    Raises :class:`ModelNotFound` if a part is missing, damaged or of another architecture, :class:`OutOfMemory` if the
    device is too full, and :class:`NotAvailable` if the acceleration is not supported.
    """
    with LOADING:
        try:
            return _Loading(folder, device, plan, acceleration, report).components(once)
        except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _out_of_memory() from error
            raise ModelNotFound(
                f"The weights in {folder} cannot be read ({type(error).__name__}: {str(error)[:200]}). "
                "Download them again, or name another folder with MODEL."
            ) from error


class _Loading:
    """Loads the parts of one model."""

    def __init__(
        self, folder: Path, device: torch.device, plan: MemoryPlan, acceleration: Acceleration, report: Report
    ) -> None:
        self._folder = folder
        self._device = device
        self._plan = plan
        self._acceleration = acceleration
        self._report = report
        dtype = torch.float32 if plan.width == FULL_WIDTH else torch.bfloat16
        self._options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}

    def components(self, once: Once) -> Components:
        """Return all parts; ``once`` keeps one that is loaded already from being loaded again."""
        tokenizer = once("tokenizer", self._tokenizer)
        transformer = once("transformer", self._transformer)
        vae = once("vae", self._vae)
        vision = None
        if has_siglip(json.loads((self._folder / "model_index.json").read_text(encoding="utf-8"))):
            vision = once(SIGLIP, self._vision)
            self._check_width(vision, transformer.config.siglip_feat_dim)
        # Last, since it may stay on the host, which holds one part at a time until here.
        text_encoder = once("text_encoder", self._text_encoder)
        scheduler = _load_scheduler(self._folder)
        masks = self._acceleration.takes_masks
        return Components(tokenizer, text_encoder, transformer, vae, scheduler, self._plan.placement, masks, vision)

    def _tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self._folder / "tokenizer", local_files_only=True, trust_remote_code=False)

    def _transformer(self) -> Any:
        self._report("reading the transformer")
        transformer = ZImageTransformer2DModel.from_pretrained(self._folder / "transformer", **self._options)
        place_transformer(transformer, self._device, self._plan)
        self._acceleration.apply(transformer, resident=self._plan.placement is not Placement.GROUP_OFFLOAD)
        return transformer

    def _vae(self) -> Any:
        self._report("reading the image decoder")
        return _place(AutoencoderKL.from_pretrained(self._folder / "vae", **self._options), self._device)

    def _text_encoder(self) -> Any:
        self._report("reading the text encoder")
        resident = self._plan.placement is Placement.RESIDENT
        text_encoder = AutoModel.from_pretrained(self._folder / "text_encoder", **self._options)
        return _place(text_encoder, self._device if resident else torch.device("cpu"))

    def _vision(self) -> Vision:
        self._report("reading the image encoder")
        encoder = _place(AutoModel.from_pretrained(self._folder / SIGLIP, **self._options), self._device)
        place = self._folder / f"{SIGLIP}_processor"
        return Vision(encoder, AutoImageProcessor.from_pretrained(place, local_files_only=True))

    def _check_width(self, vision: Vision, width: int | None) -> None:
        """Raise :class:`ModelNotFound` unless the transformer takes SigLIP's features, ``width`` wide."""
        features = vision.encoder.config.hidden_size
        if features != width:
            raise ModelNotFound(
                f"The parts in {self._folder} are of different models: SigLIP's features are {features} wide, the "
                f"transformer takes {width or 'none'}. Download them again, or name another folder with MODEL."
            )


def _load_scheduler(folder: Path) -> dict[str, Any]:
    """Return the scheduler's config. Raises :class:`ModelNotFound` if the engine cannot do what it says."""
    config = dict(FlowMatchEulerDiscreteScheduler.load_config(folder / "scheduler"))
    check_scheduler(config, str(folder))
    try:
        SigmaSchedule(config, torch.device("cpu")).levels(_TRIAL_STEPS, _TRIAL_TOKENS)
    except (ValueError, ArithmeticError, NumericalError) as error:
        raise ModelNotFound(f"The scheduler in {folder} gives no noise levels: {str(error)[:200]}") from error
    return config


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
