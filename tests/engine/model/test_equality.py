"""The engine equals diffusers' pipelines: ±1 of 255 for the same weights, prompt, seed, steps and size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline
from PIL import Image

from tests.helpers.executors import Reused, loaded_executor
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile
from zimage_engine.config import EngineConfig
from zimage_engine.engine import Engine
from zimage_engine.executor import Executor
from zimage_engine.pixels import to_png
from zimage_engine.profiles import Range
from zimage_engine.types import ImageRequest, RawImage, Step
from zimage_engine.weights import complete_profile

StartEngine = Callable[..., Engine]
PROMPTS = ("a red circle on a blue background", "一个小的黄色星形，黑色背景", "")


@pytest.fixture(scope="module")
def pipeline() -> ZImagePipeline:
    loaded = ZImagePipeline.from_pretrained(DEMO_WEIGHTS)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.system)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """A loaded executor of each kind, with the demo model and batches of up to eight."""
    with loaded_executor(request.param) as loaded:
        yield loaded


@pytest.fixture
async def start(executor: Executor) -> AsyncIterator[StartEngine]:
    """Starts an engine of the demo model, which may be given guidance that its profile lacks."""
    engines: list[Engine] = []

    def started(**changes: Any) -> Engine:
        profile = replace(complete_profile(find_profile("demo")), **changes)
        engines.append(Engine.start(EngineConfig(profile, "cpu"), lambda _: Reused(executor)))
        return engines[-1]

    yield started
    for engine in engines:
        await engine.close()


GUIDED = {"guidance": Range(0, 8, 4), "negative_prompt": True}


def pixels_of_pipeline(pipeline: ZImagePipeline, request: ImageRequest) -> np.ndarray:
    image = pipeline(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt or None,
        height=request.height,
        width=request.width,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
    ).images[0]
    return np.asarray(image).astype(int)


def test_plain_diffusers_loads_it_in_float32_with_no_dtype_given(pipeline: ZImagePipeline) -> None:
    assert {part.dtype for part in (pipeline.vae, pipeline.transformer, pipeline.text_encoder)} == {torch.float32}
    assert isinstance(pipeline.vae, AutoencoderKL)


@pytest.mark.parametrize("kind", [ZImageImg2ImgPipeline, ZImageInpaintPipeline])
def test_the_edit_pipelines_draw_with_it_too(kind: type) -> None:
    edit = kind.from_pretrained(DEMO_WEIGHTS)
    edit.set_progress_bar_config(disable=True)
    extra = {"mask_image": Image.new("L", (256, 256), 255)} if kind is ZImageInpaintPipeline else {}
    drawn = edit(
        prompt=PROMPTS[0],
        image=Image.new("RGB", (256, 256), "blue"),
        strength=0.6,
        num_inference_steps=4,
        guidance_scale=0.0,
        generator=torch.Generator().manual_seed(1),
        **extra,
    ).images[0]
    assert drawn.size == (256, 256)


EIGHT_STEPS_TOO = pytest.mark.system  # four steps of that size and eight of another are in `make test`


@pytest.mark.parametrize(
    ("size", "steps"),
    [
        ((256, 256), 4),
        ((320, 192), 4),
        ((192, 352), 4),
        ((256, 256), 8),
        pytest.param((320, 192), 8, marks=EIGHT_STEPS_TOO),
        pytest.param((192, 352), 8, marks=EIGHT_STEPS_TOO),
    ],
)
async def test_equal_to_the_pipeline(
    start: StartEngine, pipeline: ZImagePipeline, size: tuple[int, int], steps: int
) -> None:
    engine = start()
    for seed, prompt in enumerate(PROMPTS[:2]):
        await _check(engine, pipeline, ImageRequest(f"{seed}", prompt, *size, steps, seed=seed * 1000 + 7))
    long = "a large green heart on the left of a white background, " * 4
    await _check(engine, pipeline, ImageRequest("long", long, *size, steps, seed=2**32 - 1))


async def test_equal_with_guidance_and_a_negative_prompt(start: StartEngine, pipeline: ZImagePipeline) -> None:
    request = ImageRequest("g", PROMPTS[0], 256, 256, 4, 5, guidance_scale=3.0, negative_prompt="a green square")
    await _check(start(**GUIDED), pipeline, request)


def a_photo(width: int, height: int) -> Image.Image:
    """Return a picture with edges and gradients."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8))
    picture.paste((200, 30, 30), (width // 4, height // 4, width // 2, height // 2))
    return picture


def a_mask(width: int, height: int) -> Image.Image:
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (width // 2, height // 3, width - 20, height - 11))
    return mask


@pytest.mark.parametrize("inpaint", [False, True], ids=["img2img", "inpaint"])
@pytest.mark.parametrize(("size", "steps", "guidance"), [((256, 256), 8, 0.0), ((320, 192), 5, 3.0)])
async def test_edits_equal_the_pipelines(
    start: StartEngine, pipeline: ZImagePipeline, size: tuple[int, int], steps: int, guidance: float, *, inpaint: bool
) -> None:
    """Run three strengths and a text-to-image request together; each equals its own pipeline call."""
    kind = ZImageInpaintPipeline if inpaint else ZImageImg2ImgPipeline
    edit = kind(**pipeline.components)
    edit.set_progress_bar_config(disable=True)
    photo, mask = a_photo(*size), a_mask(*size)
    asks = [
        ImageRequest(
            f"{strength}",
            PROMPTS[0],
            *size,
            steps,
            seed=int(strength * 10),
            guidance_scale=guidance,
            negative_prompt="a green square" if guidance else "",
            original=to_png(photo),
            mask=to_png(mask) if inpaint else None,
            strength=strength,
        )
        for strength in (0.3, 0.6, 1.0)
    ]
    engine = start(**GUIDED)
    engine.submit(ImageRequest("beside", PROMPTS[1], *size, steps, seed=1), owner=2)
    handles = [engine.submit(ask, owner=1) for ask in asks]
    for ask, handle in zip(asks, handles, strict=True):
        theirs = edit(
            prompt=ask.prompt,
            negative_prompt=ask.negative_prompt or None,
            image=photo,
            strength=ask.strength,
            width=size[0],
            height=size[1],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(ask.seed),
            **({"mask_image": mask} if inpaint else {}),
        ).images[0]
        ours = _pixels((await handle.result()).image)
        assert np.abs(ours - np.asarray(theirs).astype(int)).max() <= 1, ask.strength


async def test_equal_in_mixed_company(start: StartEngine, pipeline: ZImagePipeline) -> None:
    """Requests join, end and are cancelled in between; sizes, steps, prompts and guidance differ."""
    engine = start(**GUIDED)
    first = [
        ImageRequest("a", PROMPTS[0], 256, 256, 6, 1),
        ImageRequest("b", PROMPTS[1], 320, 192, 8, 2),
        ImageRequest("c", PROMPTS[0], 256, 256, 4, 3, guidance_scale=3.0, negative_prompt="a green square"),
        ImageRequest("gone", PROMPTS[0], 256, 256, 8, 4),
        ImageRequest("d", "a small star, " * 12, 192, 320, 5, 5, guidance_scale=2.0),
    ]
    late = [ImageRequest("e", PROMPTS[1], 256, 256, 8, 6), ImageRequest("f", PROMPTS[0], 384, 256, 3, 7)]
    handles = {request.id: engine.submit(request, owner=request.id) for request in first}
    async for event in handles["gone"]:
        if isinstance(event, Step) and event.done == 2:
            handles["gone"].cancel()
            handles |= {request.id: engine.submit(request, owner="late") for request in late}
    for request in [request for request in first + late if request.id != "gone"]:
        image = (await handles[request.id].result()).image
        assert np.abs(_pixels(image) - pixels_of_pipeline(pipeline, request)).max() <= 1, request


def _pixels(image: RawImage) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)


async def _check(engine: Engine, pipeline: ZImagePipeline, request: ImageRequest) -> None:
    image = (await engine.submit(request, owner=1).result()).image
    assert np.abs(_pixels(image) - pixels_of_pipeline(pipeline, request)).max() <= 1
