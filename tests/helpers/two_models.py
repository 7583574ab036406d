"""A second model, made of the demo's: another transformer beside the same text encoder, decoder and tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from safetensors.torch import load_file, save_file

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.memory import part_sizes
from zimage_engine.device.worker import Worker
from zimage_engine.places import DevicePlace
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import ImageRequest, NewRequest, Plan, PlanResult, Unit
from zimage_engine.weights import Report, complete_profile

SECOND = "second"
_TRANSFORMER = Path("transformer") / "diffusion_pytorch_model.safetensors"


def build_second_model(folder: Path, *, link: bool = True) -> ModelProfile:
    """Write the model into ``folder``, its other parts as links to the demo's or as copies. Returns its profile."""
    folder.mkdir()
    for path in DEMO_WEIGHTS.iterdir():
        if path.name == "transformer":
            shutil.copytree(path, folder / path.name)
        elif link:
            (folder / path.name).symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, folder / path.name)
        else:
            shutil.copy(path, folder / path.name)
    tensors = load_file(folder / _TRANSFORMER)
    # The caption branch is another one, too.
    blocks = ("layers.3.", "context_refiner.")
    changed = {name: tensor * 1.05 if name.startswith(blocks) else tensor for name, tensor in tensors.items()}
    save_file(changed, folder / _TRANSFORMER, {"format": "pt"})
    return complete_profile(replace(find_profile("demo", weights=str(folder)), name=SECOND, title="Second demo"))


def two_models(second: ModelProfile, **changes: object) -> EngineConfig:
    """Return a configuration with the demo model and ``second``, on the CPU."""
    config = EngineConfig(
        complete_profile(find_profile("demo")), "cpu", measure=False, batch_tokens=8 * 96, other_profiles=(second,)
    )
    return replace(config, **changes)  # type: ignore[arg-type]


def leave_room_for_one(patch: pytest.MonkeyPatch, width: int = 4, extra: float = 0.5) -> None:
    """Let there be memory for one of the models in values of ``width`` bytes, and ``extra`` of another transformer."""
    encoder, transformer, vae = part_sizes(DEMO_WEIGHTS).bytes(width)
    free = (1.5e9 + encoder + vae + (1 + extra) * transformer) / 0.95
    memory = SimpleNamespace(total=64e9, available=free)
    patch.setattr(psutil, "virtual_memory", lambda: memory)


def load_with_room_for_one(config: EngineConfig, report: Report) -> Worker:
    """Load a worker that can hold one of the models at a time. Can be pickled."""
    with pytest.MonkeyPatch.context() as patch:
        leave_room_for_one(patch)
        return Worker.load(config, DevicePlace("cpu", "cpu", tuple(each.name for each in config.profiles)), report)


def request_of(model: str, name: str = "a", **changes: object) -> ImageRequest:
    ask = ImageRequest(name, "a red circle on a blue background", 128, 128, 2, 5, model=model)
    return replace(ask, **changes)  # type: ignore[arg-type]


def loading(model: str) -> Plan:
    """Return the plan that loads a model for the request ``x``."""
    return Plan(Unit.LOAD_MODEL, ("x",), model=model)


def plans_of(*asks: ImageRequest) -> Sequence[Plan]:
    """Return the plans of all units of some requests of one model, in one batch."""
    names, model = tuple(ask.id for ask in asks), asks[0].model
    first = Plan(Unit.ENCODE_TEXT, names, tuple(NewRequest(ask) for ask in asks), model=model)
    steps = [Plan(Unit.DENOISE, names, model=model) for _ in range(asks[0].steps)]
    return [first, *steps, Plan(Unit.DECODE, names, model=model)]


def draw(worker: Worker, ask: ImageRequest) -> bytes:
    """Return the picture of a request."""
    results: list[PlanResult] = [worker.begin(plan)() for plan in plans_of(ask)]
    assert not any(result.failures for result in results), [result.failures for result in results]
    return results[-1].images[ask.id].data
