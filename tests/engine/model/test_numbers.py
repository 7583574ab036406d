"""A picture that is not finite or all black is never returned, and no step waits for the device to find out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, Placement
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.sampling import SigmaSchedule
from zimage_engine.types import ImageRequest, InvalidRequest, NumericalError
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")
ASK = ImageRequest("a", "a red circle", 256, 256, 4, 1)


@pytest.fixture
def model() -> ZImageModel:
    return ZImageModel(load_components(DEMO_WEIGHTS, CPU, MemoryPlan(Placement.RESIDENT, 4)), CPU)


WAITING = {"item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy", "nonzero", "equal", "synchronize"}
"""Functions that wait for the device."""


class RecordFunctions(TorchFunctionMode):
    """Records the names of the functions and methods of tensors that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))


def test_neither_a_step_nor_a_decode_waits_for_the_device(model: ZImageModel) -> None:
    generation = model.start(replace(ASK, guidance_scale=2.0, previews=True))
    with RecordFunctions() as recorded:
        finite = model.step([generation])
        decoded = model.decode(generation)
    assert recorded.names.isdisjoint(WAITING)
    for waits in (lambda: model.failures([generation], finite), lambda: model.to_image(generation, decoded)):
        with RecordFunctions() as recorded:
            waits()
        assert not recorded.names.isdisjoint(WAITING)


def test_the_tables_of_a_step_are_made_once_and_before_it(model: ZImageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = model.start(ASK)
    monkeypatch.setattr(SigmaSchedule, "_compute", lambda *_: pytest.fail("made again"))
    for _ in range(ASK.steps):
        model.step([generation])
    model.start(replace(ASK, width=512))


def test_latents_that_are_not_finite_fail_their_request_alone(model: ZImageModel) -> None:
    good, bad = model.start(ASK), model.start(replace(ASK, id="bad", prompt="a blue star"))
    bad.positive.states = bad.positive.states * float("nan")
    finite = model.step([good, bad])
    assert finite.tolist() == [True, False]
    failures = model.failures([good, bad], finite)
    assert {name: type(error) for name, error in failures.items()} == {"bad": NumericalError}
    assert model.step([model.start(replace(ASK, prompt="a blue star"))]).all(), "the embedding left the cache"


@pytest.mark.parametrize(
    "broken",
    [torch.full((3, 8, 8), -9.0), torch.full((3, 8, 8), float("nan")), torch.full((3, 8, 8), float("-inf"))],
    ids=["black", "nan", "infinite"],
)
def test_a_broken_picture_is_not_returned(model: ZImageModel, broken: torch.Tensor) -> None:
    with pytest.raises(NumericalError):
        model.to_image(model.start(ASK), broken)


@pytest.mark.parametrize("value", [-9.0, float("nan")])
def test_a_picture_broken_in_bfloat16_is_decoded_once_more_in_float32(model: ZImageModel, value: float) -> None:
    vae: Any = model.parts.vae.to(torch.bfloat16)
    generation = model.start(ASK)
    while generation.step < ASK.steps:
        model.step([generation])
    decoded = model.decode(generation)
    assert decoded.dtype is torch.bfloat16
    whole = model.to_image(generation, decoded)
    again = model.to_image(generation, torch.full_like(decoded, value))
    assert vae.dtype is torch.bfloat16
    a, b = (torch.frombuffer(bytearray(image.data), dtype=torch.uint8).int() for image in (whole, again))
    assert (a - b).abs().float().mean() < 2


def test_a_number_of_steps_for_which_the_scheduler_has_no_levels_is_refused(model: ZImageModel) -> None:
    """Stretched to ``shift_terminal``, a schedule of one step is 0 ÷ 0: the pipeline returns a black picture."""
    config = {**model.parts.scheduler_config, "shift_terminal": 0.1}
    stretched = ZImageModel(replace(model.parts, scheduler_config=config), CPU)
    with pytest.raises(NumericalError, match="has no 1-step schedule"):
        stretched.start(replace(ASK, steps=1))
    assert stretched.step([stretched.start(ASK)]).all()


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    profile = complete_profile(find_profile("demo"))
    photo = Path("photo.png")
    profile.check(replace(ASK, original=photo, strength=0.001))
    with pytest.raises(InvalidRequest, match="too small to change anything"):
        profile.check(replace(ASK, original=photo, strength=1e-17))
