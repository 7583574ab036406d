"""From a folder or a hub id in diffusers' layout to components on a device.

Config files are enough to know what a profile offers (:func:`complete_profile`); weights come later
(:func:`load_components`). Only safetensors are read and no remote code is run.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tqdm import tqdm
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from zimage_engine.catalog import downloadable_profiles, either
from zimage_engine.device.acceleration import Acceleration
from zimage_engine.device.memory import (
    FULL_WIDTH,
    GB,
    PARTS,
    SIGLIP,
    DeviceKind,
    MemoryPlan,
    Placement,
    part_sizes,
    plan_memory,
)
from zimage_engine.model.model import Components
from zimage_engine.model.omni import Vision
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import DeviceNotFound, ModelNotFound, OutOfMemory

Report = Callable[[str], None]
"""Takes a few words on what loading is at, such as "reading the transformer"."""

_AS_IT_COMES = Acceleration()
_WANTED = ["model_index.json", "*/*.json", "*/*.safetensors", "tokenizer/*"]


def complete_profile(profile: ModelProfile) -> ModelProfile:
    """The profile with its ``size_multiple``, read from the model's config files (a few kB from the hub at most).

    Raises :class:`ModelNotFound` where they are missing, not a Z-Image model's, or of one that edits in another way.
    """
    index = _read_json(profile, "model_index.json")
    if not str(index.get("_class_name", "")).startswith("ZImage"):
        raise ModelNotFound(
            f"{profile.weights} is not a Z-Image model: its model_index.json names {index.get('_class_name')}."
        )
    if profile.editing == "instruction" and not _has_siglip(index):
        raise ModelNotFound(
            f"{profile.weights} cannot edit by instruction, it has no SigLIP encoder: set MODEL to a model for "
            f"ZImageOmniPipeline, or PROFILE to {either(downloadable_profiles('img2img'))}."
        )
    by_instruction = either(downloadable_profiles("instruction"))
    if profile.editing == "img2img" and _has_siglip(index):
        raise ModelNotFound(f"{profile.weights} is a model that edits by instruction: set PROFILE={by_instruction}.")
    blocks = _read_json(profile, "vae/config.json").get("block_out_channels", [])
    if not blocks:
        raise ModelNotFound(f"{profile.weights} has an image decoder of an unknown kind; it needs AutoencoderKL.")
    return replace(profile, size_multiple=2 ** (len(blocks) - 1) * 2)


def _read_json(profile: ModelProfile, name: str) -> dict[str, Any]:
    folder = Path(profile.weights)
    if folder.is_dir():
        path = folder / name
        if not path.is_file():
            raise ModelNotFound(f"{folder} is no model folder in diffusers' layout: it has no {name}.")
    else:
        path = Path(_from_hub(profile, lambda: hf_hub_download(profile.weights, name)))
    try:
        parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path} cannot be read ({type(error).__name__}): download the model again.") from error
    return parsed


def _has_siglip(index: dict[str, Any]) -> bool:
    return index.get("_class_name") == "ZImageOmniPipeline" and SIGLIP in index


def _from_hub(profile: ModelProfile, fetch: Callable[[], str]) -> str:
    try:
        return fetch()
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise ModelNotFound(
            f"The weights of {profile.title} are not on this machine, and “{profile.weights}” is neither a folder nor "
            f"a model that can be downloaded now ({type(error).__name__}). Check the network and the name, or set "
            "MODEL to a folder with the weights in diffusers' layout."
        ) from error


def cached_folder(profile: ModelProfile) -> Path | None:
    """The local folder with the weights, or None where they would have to be downloaded."""
    folder = Path(profile.weights)
    if folder.is_dir():
        return folder
    try:
        folder = Path(snapshot_download(profile.weights, allow_patterns=_WANTED, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    # The small config files alone make such a folder, too.
    wanted = (*PARTS, SIGLIP) if profile.editing == "instruction" else PARTS
    return folder if all(_has_weights(folder / part) for part in wanted) else None


def _has_weights(part: Path) -> bool:
    """Every file that the part's index names is here, or at least one where there is no index."""
    for index in part.glob("*.safetensors.index.json"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((part / name).exists() for name in named)
    return any(part.glob("*.safetensors"))


def weights_folder(profile: ModelProfile, report: Report = lambda _: None) -> Path:
    """The local folder with the weights; those of a hub id are downloaded once into the hub's cache."""
    folder = cached_folder(profile)
    if folder is not None:
        return folder
    bar = _reporting_bar(report)
    return Path(_from_hub(profile, lambda: snapshot_download(profile.weights, allow_patterns=_WANTED, tqdm_class=bar)))


def _reporting_bar(report: Report) -> Any:
    """A progress bar for the hub's downloads that draws nothing and reports the bytes instead."""

    class ReportingBar(tqdm):  # type: ignore[misc,type-arg,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)  # the hub's own bars know it, tqdm's do not
            super().__init__(*args, **(options | {"disable": False, "file": io.StringIO()}))

        def update(self, n: float | None = 1) -> bool | None:
            if self.unit == "B" and self.total:
                report(f"downloading: {(self.n + (n or 0)) / GB:.1f} of {self.total / GB:.1f} GB")
            return bool(super().update(n))

    return ReportingBar


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is the first CUDA device, else Apple's, else the CPU; any other name is torch's own.

    Raises :class:`DeviceNotFound` where there is no such device.
    """
    if name != "auto":
        return _named_device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _named_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceNotFound(f"There is no device “{name}” here: set DEVICE to auto, cpu, cuda or mps.") from error
    return device


def plan_for(folder: Path, device: torch.device, dtype_name: str = "auto") -> MemoryPlan:
    """Where the parts of the model in ``folder`` go on this machine.

    ``auto`` is bfloat16 on an accelerator and, on the CPU, float32 where it fits; float16 is not offered, Z-Image
    overflows in it. Raises :class:`OutOfMemory` with what is missing.
    """
    host = float(psutil.virtual_memory().total)
    memory = float(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else host
    kind: DeviceKind = "cuda" if device.type == "cuda" else "mps" if device.type == "mps" else "cpu"
    width = {"auto": None, "bfloat16": 2, "float32": 4}[dtype_name]
    return plan_memory(part_sizes(folder), kind, memory, host, width)


def load_components(
    folder: Path,
    device: torch.device,
    plan: MemoryPlan,
    acceleration: Acceleration = _AS_IT_COMES,
    report: Report = lambda _: None,
) -> Components:
    """Read the weights as the plan says, ready to run.

    One part after the other goes from its safetensors to its place, so that the host never holds more than one.
    Raises :class:`ModelNotFound` where a part is missing, damaged or of another architecture, and
    :class:`NotAvailable` where the acceleration asked for cannot be had.
    """
    dtype = torch.float32 if plan.width == FULL_WIDTH else torch.bfloat16
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    resident = plan.placement is Placement.RESIDENT
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False)
        report("reading the transformer")
        transformer = ZImageTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=dtype, **options)
        _place_transformer(transformer, device, plan)
        report("reading the image decoder")
        vae = _place(AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, **options), device)
        vision = _load_vision(folder, device, transformer.config.siglip_feat_dim, {"dtype": dtype, **options}, report)
        report("reading the text encoder")
        # Last, since it may stay on the host: until here the host held one part at a time.
        text_encoder = AutoModel.from_pretrained(folder / "text_encoder", dtype=dtype, **options)
        _place(text_encoder, device if resident else torch.device("cpu"))
        scheduler_config = FlowMatchEulerDiscreteScheduler.load_config(folder / "scheduler")
    except torch.OutOfMemoryError as error:
        raise OutOfMemory("The device ran out of memory while loading: free it of other programs' work.") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelNotFound(
            f"The weights in {folder} cannot be read ({type(error).__name__}: {str(error)[:200]}). "
            "Download them again, or name another folder with MODEL."
        ) from error
    acceleration.apply(transformer, resident=plan.placement is not Placement.GROUP_OFFLOAD)
    scheduler, masks = dict(scheduler_config), acceleration.takes_masks
    return Components(tokenizer, text_encoder, transformer, vae, scheduler, plan.placement, masks, vision)


def _load_vision(
    folder: Path, device: torch.device, width: int | None, options: dict[str, Any], report: Report
) -> Vision | None:
    """SigLIP where the model edits by instruction; ``width`` is that of the features which the transformer takes."""
    if not _has_siglip(json.loads((folder / "model_index.json").read_text(encoding="utf-8"))):
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


def _place_transformer(transformer: Any, device: torch.device, plan: MemoryPlan) -> None:
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


def _place(part: Any, device: torch.device) -> Any:
    return part.to(device).eval().requires_grad_(requires_grad=False)
