"""Scheduler configs: the engine equals the pipeline with each that it accepts, and refuses the others when loading."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.model import Components, ZImageModel
from zimage_engine.types import ImageRequest, ModelNotFound, NotAvailable
from zimage_engine.weights import check_scheduler, complete_profile

CPU = torch.device("cpu")
PLAN = MemoryPlan(Placement.RESIDENT, 4)
CONFIG: dict[str, Any] = json.loads((DEMO_WEIGHTS / "scheduler" / "scheduler_config.json").read_text())


@pytest.fixture(scope="module")
def parts() -> Components:
    return load_components(DEMO_WEIGHTS, CPU, PLAN)


@pytest.fixture(scope="module")
def pipeline() -> ZImagePipeline:
    loaded = ZImagePipeline.from_pretrained(DEMO_WEIGHTS)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.mark.parametrize(
    "options",
    [
        {"shift": 1.0},
        {"use_dynamic_shifting": True},
        {"use_dynamic_shifting": True, "time_shift_type": "linear", "max_shift": 2.0},
        {"shift_terminal": 0.1},
        {"use_karras_sigmas": True},
        {"use_exponential_sigmas": True},
        {"num_train_timesteps": 900},
    ],
    ids=str,
)
def test_equal_to_the_pipeline(parts: Components, pipeline: ZImagePipeline, options: dict[str, Any]) -> None:
    config = CONFIG | options
    check_scheduler(config, "this model")
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
    model = ZImageModel(replace(parts, scheduler_config=config), CPU)
    ask = ImageRequest("a", "a red circle on a blue background", 320, 192, 3, 5)
    generation = model.start(ask)
    for _ in range(ask.steps):
        model.step([generation])
    theirs = pipeline(
        prompt=ask.prompt,
        height=ask.height,
        width=ask.width,
        num_inference_steps=ask.steps,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(ask.seed),
        output_type="latent",
    ).images
    torch.testing.assert_close(generation.latents[None], theirs, rtol=1e-4, atol=1e-4)
    assert not np.isnan(theirs).any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"_class_name": "LCMScheduler"}, "has the scheduler LCMScheduler; the engine implements"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "has the scheduler FlowMatchHeunDiscreteScheduler; the"),
        (
            {"stochastic_sampling": True},
            "has a scheduler with stochastic_sampling, which the engine does not implement",
        ),
        ({"invert_sigmas": True}, "has a scheduler with invert_sigmas, which the engine does not implement"),
        ({"use_karras_sigmas": True, "use_exponential_sigmas": True}, "gives no noise levels: Only one of"),
        ({"time_shift_type": "cubic"}, "gives no noise levels"),
        ({"shift": 0.0}, "gives no noise levels"),
        ({"max_image_seq_len": 256}, "gives no noise levels"),
    ],
    ids=str,
)
def test_what_the_engine_does_not_compute_is_refused_when_loading(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    folder = shutil.copytree(DEMO_WEIGHTS, tmp_path / "model")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(CONFIG | options))
    with pytest.raises(ModelNotFound, match=sentence):
        load_components(folder, CPU, PLAN)


@pytest.mark.parametrize("option", [{"_class_name": "LCMScheduler"}, {"stochastic_sampling": True}], ids=str)
def test_it_is_refused_before_the_weights_are_downloaded(tmp_path: Path, option: dict[str, Any]) -> None:
    folder = shutil.copytree(DEMO_WEIGHTS, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    profile = find_profile("demo", weights=str(folder))
    complete_profile(profile)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(CONFIG | option))
    with pytest.raises(ModelNotFound, match="has "):
        complete_profile(profile)


def test_beta_sigmas_need_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NotAvailable, match="pip install scipy"):
        check_scheduler(CONFIG | {"use_beta_sigmas": True}, "this model")
