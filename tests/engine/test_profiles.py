"""Profiles: sizes, aspects, bounds, and loading's complaints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.loading import load_components, pick_device, plan_for
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.profiles import Size, parse_aspect, parse_size
from zimage_engine.types import InvalidRequest, ModelNotFound
from zimage_engine.weights import _reporting_bar, complete_profile

DEMO = replace(find_profile("demo"), size_multiple=32)
TURBO = replace(find_profile("turbo"), size_multiple=16)


@given(
    profile=st.sampled_from([DEMO, TURBO]),
    aspect=st.fractions(min_value=Fraction(1, 4), max_value=4, max_denominator=100),
    name=st.sampled_from(["medium", "large"]),
)
def test_every_size_for_an_aspect_can_be_drawn(profile, aspect, name) -> None:
    size = profile.size_for(aspect, name)
    area = (profile.base_side * profile.scales[name]) ** 2
    assert size.width % profile.size_multiple == size.height % profile.size_multiple == 0
    assert 0.65 < size.pixels / area < 1.5
    assert 0.6 < size.width / size.height / aspect < 1.6


def test_offered_sizes_can_all_be_drawn() -> None:
    for profile in (DEMO, TURBO):
        for sizes in profile.offered_sizes().values():
            for size in sizes:
                profile.check_size(size)


def test_the_usual_sizes() -> None:
    assert TURBO.size_for(Fraction(1)) == Size(1024, 1024)
    assert TURBO.size_for(Fraction(16, 9)) == Size(1360, 768)
    assert DEMO.size_for(Fraction(5, 3)) == Size(320, 192)
    assert DEMO.size_for(Fraction(3, 5)) == Size(192, 320)


@pytest.mark.parametrize(
    ("text", "aspect"), [("16:9", Fraction(16, 9)), ("1x2", Fraction(1, 2)), (" 1.5 ", Fraction(3, 2))]
)
def test_aspects_that_are_read(text: str, aspect: Fraction) -> None:
    assert parse_aspect(text) == aspect


@pytest.mark.parametrize("text", ["", "0:1", "1:0", "wide", "9:1", "1:99999", "-1:2", "１６:９", "1:2:3"])
def test_aspects_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="16:9"):
        parse_aspect(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_aspect, parse_size):
        try:
            parse(text)
        except InvalidRequest as error:
            assert str(error).endswith(".")


def test_a_size_that_is_not_allowed_names_one_that_is() -> None:
    with pytest.raises(InvalidRequest, match="multiples of 32, for example 256x224"):
        DEMO.check_size(Size(250, 230))


def test_a_missing_folder_a_stranger_and_damaged_weights_are_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="neither a folder nor a model that can be downloaded"):
        complete_profile(find_profile("demo", weights="/no/such/folder"))
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


def test_importing_the_engine_package_loads_no_torch() -> None:
    code = "import sys, zimage_engine, zimage_engine.scheduling.scheduler; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_download_says_how_far_it_is() -> None:
    """The bar is made and moved as ``snapshot_download`` does it: its total grows while files are found."""
    said: list[str] = []
    bar = _reporting_bar(said.append)(
        desc="Reconstructing (incomplete total...)", total=0, initial=0, unit="B", unit_scale=True, name="hub"
    )
    files = _reporting_bar(said.append)(desc="Fetching 7 files", total=7)
    files.update(1)
    bar.total += 20_500_000_000
    bar.update(3_100_000_000)
    bar.update(1_000_000_000)
    bar.close()
    files.close()
    assert said == ["downloading: 3.1 of 20.5 GB", "downloading: 4.1 of 20.5 GB"]
