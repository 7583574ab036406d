"""Editing by instruction equals diffusers' ``ZImageOmniPipeline``, alone and in a batch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ZImageOmniPipeline

from tests.helpers.engines import in_thread
from tests.helpers.faults import Immediate
from tests.helpers.tiny_omni import (
    EVEN,
    ODD,
    PATCHES,
    SIZE_MULTIPLE,
    a_photo,
    an_edit,
    build_tiny_omni,
    call,
    drawn_by,
    pipeline_of,
    pixels,
)
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.device.loading import load_components
from zimage_engine.device.memory import MemoryPlan, PartSize, Placement, part_sizes
from zimage_engine.device.worker import Worker
from zimage_engine.engine import Engine
from zimage_engine.model.generation import Generation
from zimage_engine.model.model import ZImageModel
from zimage_engine.model.omni import OmniTransformer
from zimage_engine.profiles import ModelProfile, Range
from zimage_engine.scheduling.estimates import caption_tokens, units_of
from zimage_engine.scheduling.tokens import TOKEN_MULTIPLE
from zimage_engine.types import (
    Cancelled,
    ImageRequest,
    InvalidRequest,
    ModelNotFound,
    NewRequest,
    Plan,
    PlanResult,
    RawImage,
    Step,
    Unit,
    UnitFailed,
)
from zimage_engine.weights import complete_profile

CPU = torch.device("cpu")
FULL = MemoryPlan(Placement.RESIDENT, 4)
LONG = "a small yellow star on the left of a black background, " * 60


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: for tensors this small, several threads take longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_omni(tmp_path_factory.mktemp("omni"))


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> ZImageOmniPipeline:
    return pipeline_of(folder)


@pytest.fixture
def profile(folder: Path) -> ModelProfile:
    return replace(complete_profile(find_profile("edit", weights=str(folder))), steps=Range(1, 50, 4))


def draw(model: ZImageModel, *asks: ImageRequest) -> list[RawImage]:
    """Generate all requests in one batch."""
    generations = [begin(model, ask) for ask in asks]
    for _ in range(asks[0].steps):
        assert model.step(generations).all()
    return [model.to_image(generation, model.decode(generation)) for generation in generations]


def begin(model: ZImageModel, ask: ImageRequest) -> Generation:
    generation = model.start(ask)
    if ask.original is not None:
        model.read_image(generation)
    return generation


class Recorder(Immediate):
    """The real worker; records which requests shared a unit."""

    def __init__(self, inner: Worker) -> None:
        super().__init__(inner)
        self.batches: list[tuple[Unit | None, set[str]]] = []

    def execute(self, plan: Plan) -> PlanResult:
        self.batches.append((plan.unit, set(plan.ids)))
        return super().execute(plan)


def execute(worker: Worker, unit: Unit, *names: str, new: tuple[ImageRequest, ...] = ()) -> PlanResult:
    return worker.begin(Plan(unit, names, tuple(NewRequest(ask) for ask in new)))()


@pytest.mark.parametrize("guidance", [0.0, 3.0])
@pytest.mark.parametrize("size", [EVEN, ODD])
async def test_edits_equal_the_pipeline_alone_and_in_company(
    pipeline: ZImageOmniPipeline, profile: ModelProfile, size: tuple[int, int], guidance: float
) -> None:
    negative = "a red star" if guidance else ""
    edits = [
        an_edit("first", size, guidance_scale=guidance, negative_prompt=negative),
        an_edit("second", size, guidance_scale=guidance, seed=2**32 - 1, original=a_photo(*size, shift=30)),
        an_edit("long", size, guidance_scale=guidance, prompt=LONG, steps=3, negative_prompt=negative),
    ]
    plain = ImageRequest("plain", "a blue square", *size, 4, 5, guidance_scale=guidance)
    theirs = {ask.id: drawn_by(pipeline, ask) for ask in (*edits, plain)}
    recorders: list[Recorder] = []
    config = EngineConfig(profile, "cpu", measure=False, batch_tokens=10_000)

    def record() -> Recorder:
        recorders.append(Recorder(Worker.load(config)))
        return recorders[-1]

    engine = Engine.start(config, in_thread(record))
    try:
        alone = await engine.submit(edits[0], owner=1).result()
        assert np.abs(pixels(alone.image) - theirs["first"]).max() <= 1
        handles = {ask.id: engine.submit(ask, owner=1) for ask in (*edits, plain)}
        for name, handle in handles.items():
            finished = await handle.result()
            assert np.abs(pixels(finished.image) - theirs[name]).max() <= 1, name
            assert finished.truncated == (name == "long")
    finally:
        await engine.close()
    together = [names for unit, names in recorders[0].batches if unit is Unit.DENOISE]
    assert {"first", "second"} in together
    assert {"plain"} in together


@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_without_an_image_it_draws_as_the_pipeline_does_without_one(
    pipeline: ZImageOmniPipeline, folder: Path, guidance: float
) -> None:
    model = ZImageModel(load_components(folder, CPU, FULL), CPU)
    asks = [ImageRequest(f"{seed}", "a blue square", *ODD, 3, seed, guidance_scale=guidance) for seed in (1, 2)]
    for ask, image in zip(asks, draw(model, *asks), strict=True):
        assert np.abs(pixels(image) - drawn_by(pipeline, ask)).max() <= 1


def test_with_its_autoencoder_in_bfloat16_the_pipeline_as_it_is_comes_to_the_same_latents(folder: Path) -> None:
    """Compare with the unchanged pipeline; by latents, since decoding in bfloat16 changes the last bits."""
    model = ZImageModel(load_components(folder, CPU, FULL), CPU)
    pipeline = pipeline_of(folder)
    for part in (model.parts.vae, pipeline.vae):
        part.to(torch.bfloat16)
    for ask in (an_edit("a"), an_edit("b", ODD, guidance_scale=3.0, negative_prompt="a red star")):
        generation = begin(model, ask)
        for _ in range(ask.steps):
            model.step([generation])
        theirs = call(pipeline, ask, output_type="latent")
        torch.testing.assert_close(generation.latents[None], theirs, rtol=1e-4, atol=1e-4)


def test_requests_with_and_without_an_image_can_share_a_step(folder: Path) -> None:
    model = ZImageModel(load_components(folder, CPU, FULL), CPU)
    asks = [an_edit("edit", guidance_scale=2.0), ImageRequest("plain", "a blue square", *EVEN, 4, 5), an_edit("other")]
    for ask, image in zip(asks, draw(model, *asks), strict=True):
        assert np.abs(pixels(image) - pixels(draw(model, ask)[0])).max() <= 1, ask.id


def test_a_kernel_without_masks_is_never_given_one(folder: Path) -> None:
    model = ZImageModel(load_components(folder, CPU, FULL), CPU)
    whole: Any = model.parts.transformer
    asks = [an_edit("a", guidance_scale=2.0, negative_prompt=LONG), an_edit("b", prompt=LONG), an_edit("c")]
    seen: list[object] = []
    whole.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    with_masks = draw(model, *asks)
    assert any(mask is not None for mask in seen)
    seen.clear()
    model.transformer = OmniTransformer(whole, masks=False)
    without = draw(model, *asks)
    assert seen
    assert all(mask is None for mask in seen)
    for one, other in zip(with_masks, without, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1


@pytest.mark.parametrize("placement", list(Placement))
def test_every_placement_draws_the_same_picture(folder: Path, placement: Placement) -> None:
    ask = an_edit("a", guidance_scale=2.0)
    where = [FULL, MemoryPlan(placement, 4)]
    first, second = (draw(ZImageModel(load_components(folder, CPU, plan), CPU), ask)[0] for plan in where)
    assert first.data == second.data


def test_an_edit_runs_all_its_steps_and_can_be_watched(profile: ModelProfile) -> None:
    worker = Worker.load(EngineConfig(profile, "cpu", measure=False))
    ask = an_edit("a", previews=True)
    units = units_of(ask)
    assert units == (Unit.ENCODE_TEXT, Unit.ENCODE_IMAGE, *(Unit.DENOISE,) * ask.steps, Unit.DECODE)
    results = [execute(worker, units[0], "a", new=(ask,)), *(execute(worker, unit, "a") for unit in units[1:])]
    assert [result.failures for result in results] == [{}] * len(units)
    previews = [result.previews["a"] for result in results if "a" in result.previews]
    assert previews
    assert {(image.width, image.height) for image in previews} == {(24, 16)}


def test_the_tokens_of_an_image_are_reported_with_the_text(folder: Path) -> None:
    """Check the predicted tokens: they are needed before the first step, to predict and to batch it."""
    model = ZImageModel(load_components(folder, CPU, FULL), CPU)
    joined: list[int] = []
    whole: Any = model.parts.transformer
    whole.layers[0].register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0].shape[1]))
    for ask in (an_edit("a", ODD), ImageRequest("plain", "a blue square", *ODD, 4, 5)):
        generation = begin(model, ask)
        model.step([generation])
        estimate = caption_tokens(ask, SIZE_MULTIPLE**2, PATCHES)
        assert abs(generation.positive.tokens - estimate) <= TOKEN_MULTIPLE, "known nearly before it is encoded"
        image_tokens = 160  # 9 · 15 and the padding
        assert joined.pop() == image_tokens + generation.positive.tokens


async def test_an_edit_can_be_cancelled(profile: ModelProfile) -> None:
    engine = Engine.start(EngineConfig(profile, "cpu", measure=False))
    try:
        handle = engine.submit(an_edit("a", steps=50), owner=1)
        async for event in handle:
            if isinstance(event, Step) and event.done >= 2:
                assert event.total == 50
                handle.cancel()
            last = event
        assert isinstance(last, Cancelled)
        assert last.steps_done >= 2
    finally:
        await engine.close()


def test_an_image_that_cannot_be_read_fails_alone(profile: ModelProfile, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker.load(EngineConfig(profile, "cpu", measure=False))
    asks = (an_edit("good"), an_edit("bad", original=a_photo(*EVEN, shift=30)))
    assert worker.model.parts.vision is not None
    encoder = worker.model.parts.vision.encoder
    forward = encoder.forward
    calls: list[torch.Tensor] = []

    def fail_on_others(pixel_values: torch.Tensor, **more: Any) -> Any:
        calls.append(pixel_values)
        if not torch.equal(pixel_values, calls[0]):
            raise ValueError("broken")
        return forward(pixel_values, **more)

    monkeypatch.setattr(encoder, "forward", fail_on_others)
    execute(worker, Unit.ENCODE_TEXT, "good", "bad", new=asks)
    result = execute(worker, Unit.ENCODE_IMAGE, "good", "bad")
    assert {name: type(error) for name, error in result.failures.items()} == {"bad": UnitFailed}
    assert execute(worker, Unit.DENOISE, "good").failures == {}


def test_a_mask_and_a_strength_are_refused(profile: ModelProfile) -> None:
    profile.check(an_edit("a"))
    alone = rf"^{profile.title} changes pictures as the prompt says: leave out mask and strength\.$"
    for change in ({"strength": 0.5}, {"mask": a_photo(96, 64)}):
        with pytest.raises(InvalidRequest, match=alone):
            profile.check(an_edit("a", **change))


def test_the_profile_is_completed_by_the_weights_that_edit_by_instruction_alone(folder: Path) -> None:
    completed = complete_profile(find_profile("edit", weights=str(folder)))
    assert (completed.size_multiple, completed.image_patches) == (SIZE_MULTIPLE, PATCHES)
    with pytest.raises(ModelNotFound) as refused:
        complete_profile(find_profile("edit", weights=str(DEMO_WEIGHTS)))
    assert str(refused.value) == (
        f"{DEMO_WEIGHTS} cannot edit by instruction, it has no SigLIP encoder: set MODEL to a model for "
        "ZImageOmniPipeline, or PROFILE to turbo or base."
    )
    with pytest.raises(ModelNotFound, match=r"is a model that edits by instruction: set PROFILE=edit\.$"):
        complete_profile(find_profile("base", weights=str(folder)))


def test_weights_without_siglip_or_with_another_one_are_refused(folder: Path, tmp_path: Path) -> None:
    incomplete = shutil.copytree(folder, tmp_path / "incomplete", ignore=shutil.ignore_patterns("siglip"))
    with pytest.raises(ModelNotFound, match="cannot be read"):
        load_components(incomplete, CPU, FULL)
    with pytest.raises(ModelNotFound, match=r"SigLIP's features are 24 wide, the transformer takes 16\."):
        load_components(build_tiny_omni(tmp_path / "other", siglip_width=16), CPU, FULL)


def test_the_memory_plan_counts_siglip(folder: Path, pipeline: ZImageOmniPipeline) -> None:
    sizes = part_sizes(folder)
    parameters = {
        name: sum(parameter.numel() for parameter in getattr(pipeline, name).parameters())
        for name in ("text_encoder", "transformer", "vae", "siglip")
    }
    assert sizes.vae == PartSize(parameters["vae"] + parameters["siglip"])
    assert sum(sizes.bytes(1)) == sum(parameters.values())
