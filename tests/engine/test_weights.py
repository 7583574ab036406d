"""A model's files: what is wrong with them is one sentence, and a download reports its progress."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.devices import pick_device
from zimage_engine.device.loading import load_components, plan_for
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.hub import _reporting_bar
from zimage_engine.types import ModelNotFound
from zimage_engine.weights import complete_profile, weights_folder


def test_a_missing_folder_a_stranger_and_damaged_weights_are_one_sentence_each(tmp_path: Path) -> None:
    for read in (complete_profile, weights_folder):
        with pytest.raises(ModelNotFound, match="neither a folder nor a model of the Hugging Face Hub"):
            read(find_profile("demo", weights="/no/such/folder"))
    with pytest.raises(ModelNotFound, match=r"no model_index\.json"):
        complete_profile(find_profile("demo", weights=str(tmp_path)))
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelNotFound, match="not a Z-Image model"):
        complete_profile(find_profile("demo", weights=str(tmp_path)))
    broken = tmp_path / "broken"
    shutil.copytree(DEMO_WEIGHTS, broken)
    (broken / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    device = pick_device("cpu")
    with pytest.raises(ModelNotFound, match="is damaged"):
        plan_for(broken, device)
    with pytest.raises(ModelNotFound, match="cannot be read"):
        load_components(broken, device, MemoryPlan(Placement.RESIDENT, 4))


def test_a_download_says_how_far_it_is() -> None:
    """Use the bar as ``snapshot_download`` does: its total grows while files are found."""
    said: list[tuple[int, int]] = []
    bar_class = _reporting_bar(lambda *numbers: said.append(numbers))
    bar = bar_class(
        desc="Reconstructing (incomplete total...)", total=0, initial=0, unit="B", unit_scale=True, name="hub"
    )
    files = bar_class(desc="Fetching 7 files", total=7)
    files.update(1)
    bar.total += 20_500_000_000
    bar.update(3_100_000_000)
    bar.update(1_000_000_000)
    bar.close()
    files.close()
    assert said == [(3_100_000_000, 20_500_000_000), (4_100_000_000, 20_500_000_000)]
