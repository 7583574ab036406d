"""The engine draws what diffusers' own pipeline draws: ±1 of 255 for the same weights, prompt, seed, steps and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline
from PIL import Image

from zimage_engine.engine import Engine, EngineConfig
from zimage_engine.loading import complete_profile
from zimage_engine.profiles import DEMO_WEIGHTS, find_profile
from zimage_engine.types import ImageRequest

PROMPTS = ("a red circle on a blue background", "一个小的黄色星形，黑色背景", "")


@pytest.fixture(scope="module")
def pipeline() -> ZImagePipeline:
    loaded = ZImagePipeline.from_pretrained(DEMO_WEIGHTS)
    loaded.set_progress_bar_config(disable=True)
    return loaded


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


@pytest.mark.parametrize("steps", [4, 8])
@pytest.mark.parametrize("size", [(256, 256), (320, 192), (192, 352)])
async def test_equal_to_the_pipeline(pipeline: ZImagePipeline, size: tuple[int, int], steps: int) -> None:
    engine = Engine.start(EngineConfig(complete_profile(find_profile("demo")), device="cpu"))
    try:
        for seed, prompt in enumerate(PROMPTS[:2]):
            await _check(engine, pipeline, ImageRequest(f"{seed}", prompt, *size, steps, seed=seed * 1000 + 7))
        long = "a large green heart on the left of a white background, " * 4
        await _check(engine, pipeline, ImageRequest("long", long, *size, steps, seed=2**32 - 1))
    finally:
        await engine.close()


async def test_equal_with_guidance_and_a_negative_prompt(pipeline: ZImagePipeline) -> None:
    from dataclasses import replace

    from zimage_engine.profiles import Range

    profile = replace(complete_profile(find_profile("demo")), guidance=Range(0, 8, 4), negative_prompt=True)
    engine = Engine.start(EngineConfig(profile, device="cpu"))
    try:
        request = ImageRequest("g", PROMPTS[0], 256, 256, 4, 5, guidance_scale=3.0, negative_prompt="a green square")
        await _check(engine, pipeline, request)
    finally:
        await engine.close()


async def _check(engine: Engine, pipeline: ZImagePipeline, request: ImageRequest) -> None:
    image = (await engine.submit(request, owner=1).result()).image
    ours = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3).astype(int)
    theirs = pixels_of_pipeline(pipeline, request)
    assert np.abs(ours - theirs).max() <= 1
