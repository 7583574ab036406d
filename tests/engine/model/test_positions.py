"""A request that needs more positions than the transformer knows is refused instead of indexing past its tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.tiny_omni import EVEN, an_edit, build_tiny_omni
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.model import ZImageModel
from zimage_engine.profiles import Size
from zimage_engine.types import ImageRequest, InvalidRequest
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")
PLAN = MemoryPlan(Placement.RESIDENT, 4)
PLAIN = ImageRequest("a", "a red circle", *EVEN, 2, 1)
LONG = "a small yellow star, " * 12


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> ZImageModel:
    folder = build_tiny_omni(tmp_path_factory.mktemp("omni"))
    return ZImageModel(load_components(folder, CPU, PLAN), CPU)


@pytest.fixture(scope="module")
def demo() -> ZImageModel:
    return ZImageModel(load_components(DEMO_WEIGHTS, CPU, PLAN), CPU)


@contextmanager
def positions(model: ZImageModel, count: int) -> Iterator[None]:
    """Give the transformer tables of ``count`` positions for captions."""
    rope: Any = model.parts.transformer.rope_embedder
    before, checked = rope.axes_lens, model._positions
    rope.axes_lens, rope.freqs_cis, model._positions = [count, *before[1:]], None, count
    try:
        yield
    finally:
        rope.axes_lens, rope.freqs_cis, model._positions = before, None, checked


def step(model: ZImageModel, ask: ImageRequest) -> bool:
    generation = model.start(ask)
    if ask.original is not None:
        model.read_image(generation)
    return bool(model.step([generation]).all())


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("demo", replace(PLAIN, width=256, height=256)),
        ("demo", replace(PLAIN, width=256, height=256, prompt=LONG)),
        ("omni", PLAIN),
        ("omni", replace(PLAIN, prompt=LONG)),
        ("omni", an_edit("a")),
        ("omni", an_edit("a", prompt=LONG)),
        ("omni", an_edit("a", guidance_scale=2.0, negative_prompt=LONG)),
    ],
    ids=["short", "long", "omni", "omni long", "edit", "long edit", "long negative prompt"],
)
def test_exactly_the_prompts_that_the_transformer_cannot_place_are_refused(
    request: pytest.FixtureRequest, name: str, ask: ImageRequest
) -> None:
    model: ZImageModel = request.getfixturevalue(name)
    generation = model.start(ask)
    needed = 1 + max(prompt.last_position for prompt in (generation.positive, generation.negative) if prompt)
    with positions(model, needed):
        assert step(model, ask)
    with positions(model, needed - 1):
        with pytest.raises(InvalidRequest, match="is too long for this model: keep at most"):
            step(model, ask)
        model._positions = needed
        with pytest.raises(IndexError):
            step(model, ask)


@pytest.mark.parametrize(("axes", "largest"), [([1024, 8, 16], (512, 256)), (None, (16384, 16384))])
def test_a_size_beyond_the_positions_is_refused(
    tmp_path: Path, axes: list[int] | None, largest: tuple[int, int]
) -> None:
    """The demo's latents are sixteenths of pixels, and its tokens two by two of them."""
    folder = shutil.copytree(DEMO_WEIGHTS, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    path = folder / "transformer" / "config.json"
    config = json.loads(path.read_text())
    config.pop("axes_lens")
    path.write_text(json.dumps(config | ({"axes_lens": axes} if axes else {})))
    profile = complete_profile(find_profile("demo", weights=str(folder)))
    assert (profile.width_max, profile.height_max) == largest
    profile.check_size(Size(512, 256))
    if axes:
        for size in (Size(544, 256), Size(512, 288)):
            with pytest.raises(InvalidRequest, match=r"is too large: model generates up to 512×256\."):
                profile.check_size(size)


def test_a_size_at_the_limit_can_be_placed_and_the_next_cannot(omni: ZImageModel) -> None:
    """In omni mode the features' positions are those of latents, of which a token has two by two."""
    rope: Any = omni.parts.transformer.rope_embedder
    before = rope.axes_lens
    rope.axes_lens, rope.freqs_cis = [before[0], 16, 24], None  # 16 · 4 and 24 · 4 pixels
    try:
        assert step(omni, an_edit("fits", (96, 64)))
        with pytest.raises(IndexError):
            step(omni, an_edit("too tall", (64, 96)))
    finally:
        rope.axes_lens, rope.freqs_cis = before, None


def test_the_size_limit_of_a_model_for_edits_counts_latents(tmp_path: Path) -> None:
    profile = complete_profile(find_profile("edit", weights=str(build_tiny_omni(tmp_path / "omni"))))
    assert (profile.width_max, profile.height_max) == (64 * 4, 64 * 4)
