"""Loading: what loaded weights take, the memory that is free, the next slower placement, one model at a time."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from safetensors.torch import save_file

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device import devices, loading
from zimage_engine.device.loading import load_components, load_stepping_down, plans_for
from zimage_engine.device.memory import GB, MemoryPlan, PartSize, Placement, part_sizes
from zimage_engine.device.worker import Worker
from zimage_engine.places import DevicePlace
from zimage_engine.types import OutOfMemory
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")
FULL, HALF = MemoryPlan(Placement.RESIDENT, 4), MemoryPlan(Placement.RESIDENT, 2)
FULL_DEVICE = "MPS backend out of memory (MPS allocated: 8.71 GB, other allocations: 320 KB, max allowed: 9.07 GB)."


def write_part(part: Path, *, quantised: bool) -> None:
    part.mkdir(parents=True)
    tensors = {
        "float": torch.zeros(10, 10),
        "half": torch.zeros(20, dtype=torch.bfloat16),
        "eight": torch.zeros(30, dtype=torch.float8_e4m3fn),
        "int": torch.zeros(40, dtype=torch.int8),
        "long": torch.zeros(5, dtype=torch.int64),
        "flag": torch.zeros(7, dtype=torch.bool),
    }
    save_file(tensors, part / "diffusion_pytorch_model.safetensors")
    config = {"quantization_config": {"quant_method": "sdnq"}} if quantised else {}
    (part / "config.json").write_text(json.dumps(config))


def test_weights_are_counted_by_their_type(tmp_path: Path) -> None:
    """Floating-point tensors become the model's type, others stay; float8 stays in a quantised part alone."""
    write_part(tmp_path / "transformer", quantised=True)
    write_part(tmp_path / "vae", quantised=False)
    sizes = part_sizes(tmp_path)
    assert sizes.transformer == PartSize(100 + 20, kept=30 + 40 + 5 * 8 + 7)
    assert sizes.vae == PartSize(100 + 20 + 30, kept=40 + 5 * 8 + 7)
    assert sizes.text_encoder == PartSize(0)
    assert sizes.vae.bytes(2) == 2 * 150 + 87


def test_loading_converts_what_is_counted_as_converted(tmp_path: Path) -> None:
    """A transformer stored in float32 and bfloat16, loaded in either type, takes the predicted bytes."""
    folder = shutil.copytree(DEMO_WEIGHTS, tmp_path / "model")
    whole = ZImageTransformer2DModel.from_pretrained(folder / "transformer", dtype=torch.float32)
    whole.layers[0].to(torch.bfloat16)
    whole.save_pretrained(folder / "transformer")
    for plan in (FULL, HALF):
        parts = load_components(folder, CPU, plan)
        loaded = [parts.text_encoder, parts.transformer, parts.vae]
        taken = [sum(p.nbytes for p in part.parameters()) for part in loaded]
        assert list(part_sizes(folder).bytes(plan.width)) == taken


def test_only_the_files_of_the_index_count(tmp_path: Path) -> None:
    AutoencoderKL.from_pretrained(DEMO_WEIGHTS / "vae").save_pretrained(tmp_path / "vae", max_shard_size="2MB")
    assert len(list((tmp_path / "vae").glob("*.safetensors"))) > 1
    shutil.copy(DEMO_WEIGHTS / "vae" / "diffusion_pytorch_model.safetensors", tmp_path / "vae" / "another.safetensors")
    assert part_sizes(tmp_path).vae == part_sizes(DEMO_WEIGHTS).vae


def test_the_plan_depends_on_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(available: float) -> None:
        memory = SimpleNamespace(total=64 * GB, available=available)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    both = sum(part_sizes(DEMO_WEIGHTS).bytes(4))
    free(64 * GB)
    assert plans_for(DEMO_WEIGHTS, CPU) == [FULL, HALF]
    free((both * 0.75 + 1.5 * GB) / 0.95)
    assert plans_for(DEMO_WEIGHTS, CPU) == [HALF]
    free(64 * GB)
    part = DevicePlace("cpu#1", "cpu", ("demo",), share=2, host_memory=int((both * 0.75 + 1.5 * GB) / 0.95))
    assert plans_for(DEMO_WEIGHTS, CPU, place=part) == [HALF]
    free(1 * GB)
    with pytest.raises(OutOfMemory, match="more memory than is free"):
        plans_for(DEMO_WEIGHTS, CPU)


def test_a_gpu_s_free_memory_includes_what_torch_has_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    for name, answer in {
        "mem_get_info": (5 * GB, 24 * GB), "memory_reserved": 3 * GB, "memory_allocated": 1 * GB
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda _, answer=answer: answer)
    assert devices.device_memory_free(device) == 7 * GB
    assert devices.device_memory_free(CPU) is None


def test_loading_steps_down_when_a_part_runs_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The text encoder does not fit onto the device in float32; what was loaded is freed before the next try."""
    place, kept, alive = loading._place, [], []

    def place_little(part: Any, device: torch.device) -> Any:
        if part.dtype is torch.float32:
            kept.append(weakref.ref(part))
            if hasattr(part, "embed_tokens"):
                raise RuntimeError(FULL_DEVICE)
        elif not alive:
            gc.collect()
            alive.append([reference() for reference in kept])
        return place(part, device)

    monkeypatch.setattr(loading, "_place", place_little)
    with caplog.at_level(logging.WARNING, logger=loading.__name__):
        worker = Worker.load(EngineConfig(complete_profile(find_profile("demo")), "cpu", measure=False))
    assert worker.model.parts.transformer.dtype is torch.bfloat16
    assert len(kept) == 3
    assert alive == [[None, None, None]]
    assert "too little memory for everything on the device, float32" in caplog.text


@pytest.mark.parametrize("plans", [[FULL], [FULL, HALF]])
def test_a_model_that_fits_in_no_way_is_out_of_memory(plans: list[MemoryPlan]) -> None:
    def load(_: MemoryPlan) -> None:
        raise RuntimeError(FULL_DEVICE)

    with pytest.raises(OutOfMemory, match="ran out of memory while loading"):
        load_stepping_down(plans, load)


def test_another_error_is_not_tried_again() -> None:
    tried: list[MemoryPlan] = []

    def load(plan: MemoryPlan) -> None:
        tried.append(plan)
        raise RuntimeError("the driver is too old")

    with pytest.raises(RuntimeError, match="too old"):
        load_stepping_down([FULL, HALF], load)
    assert tried == [FULL]


def test_two_engines_can_load_at_once() -> None:
    """Without a lock it fails: "Cannot copy out of meta tensor"."""

    def load(_: int) -> torch.device:
        return load_components(DEMO_WEIGHTS, CPU, FULL).text_encoder.device  # type: ignore[return-value]

    with ThreadPoolExecutor(3) as threads:
        assert set(threads.map(load, range(9))) == {CPU}
