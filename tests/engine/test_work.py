"""The work of a model's parts is what torch counts, within 5 %: on the demo model and on the full size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3Model

from zimage_engine.catalog import DEMO_WEIGHTS, PROFILES, find_profile
from zimage_engine.device.unit_benchmark import RandomParts
from zimage_engine.scheduling.tokens import padded
from zimage_engine.types import ModelNotFound
from zimage_engine.weights import complete_profile
from zimage_engine.work import Dimensions

PARTS = ("transformer", "text_encoder", "vae")


def demo_parts() -> list[Any]:
    """The demo's parts on the meta device, which takes no memory."""
    transformer, encoder, vae = (read_config(part) for part in PARTS)
    with torch.device("meta"):
        return [
            ZImageTransformer2DModel.from_config(transformer),
            Qwen3Model(Qwen3Config(**encoder)),
            AutoencoderKL.from_config(vae),
        ]


def full_size_parts() -> list[Any]:
    """The 6.15 B parameters of the transformer, Qwen3-4B and the decoder of FLUX.1, on the meta device."""
    parts = RandomParts(torch.device("meta"), torch.bfloat16)
    return [parts.transformer(), parts.text_encoder(), parts.vae()]


def read_config(part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((DEMO_WEIGHTS / part / "config.json").read_text())
    return config


@contextmanager
def counted(flop: int, name: str) -> Iterator[None]:
    """Compare a part's work with what torch counts while it runs."""
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        yield
    assert flop == pytest.approx(counter.get_total_flops(), rel=0.05), name


def compare(parts: list[Any], dimensions: Dimensions, sides: tuple[int, ...], captions: tuple[int, ...]) -> None:
    transformer, encoder, vae = parts
    dtype, scale = transformer.dtype, dimensions.decoder.scale
    for side in sides:
        latents = torch.empty(16, 1, side // scale, side // scale, device="meta", dtype=dtype)
        image_tokens = padded(dimensions.image_tokens(side * side))
        for tokens in captions:
            caption = torch.empty(tokens, transformer.config.cap_feat_dim, device="meta", dtype=dtype)
            with counted(dimensions.denoise(image_tokens, padded(tokens)), f"a step of {side}², {tokens} tokens"):
                transformer([latents], torch.empty(1), [caption], return_dict=False)
        with counted(dimensions.decode(side * side), f"decoding {side}²"):
            vae.decode(latents.transpose(0, 1))
    encoder.set_attn_implementation("eager")  # torch's counter cannot count grouped heads
    for tokens in captions:
        ids = torch.zeros(1, padded(tokens), dtype=torch.long, device="meta")
        mask = torch.empty(1, 1, padded(tokens), padded(tokens), device="meta", dtype=dtype)
        with counted(dimensions.encode_text(padded(tokens)), f"a text of {tokens} tokens"):
            encoder(input_ids=ids, attention_mask={"full_attention": mask})


def test_the_work_of_the_demo_is_what_torch_counts() -> None:
    compare(demo_parts(), PROFILES["demo"].dimensions, sides=(64, 512), captions=(15, 512))


@pytest.mark.system  # building and walking 10 billion parameters takes 15 s
def test_the_work_of_the_full_size_is_what_torch_counts() -> None:
    parts = full_size_parts()
    assert sum(parameter.numel() for parameter in parts[0].parameters()) == pytest.approx(6.15e9, rel=0.01)
    compare(parts, PROFILES["turbo"].dimensions, sides=(512, 1024), captions=(128, 512))


def test_the_catalog_has_the_dimensions_of_the_demo_that_ships() -> None:
    assert complete_profile(PROFILES["demo"]).dimensions == PROFILES["demo"].dimensions


def test_the_catalog_has_the_dimensions_of_the_full_size() -> None:
    parts = RandomParts(torch.device("meta"), torch.bfloat16)
    transformer, encoder, vae = (build().config for build in (parts.transformer, parts.text_encoder, parts.vae))
    full_size = Dimensions.from_configs(transformer, encoder.to_dict(), vae)
    assert [PROFILES[name].dimensions for name in ("turbo", "base", "edit")] == [full_size] * 3


def test_a_text_encoder_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(DEMO_WEIGHTS, tmp_path / "model")
    (folder / "text_encoder" / "config.json").write_text(json.dumps({"d_model": 128}))
    with pytest.raises(ModelNotFound, match=r"text encoder of an unknown kind: its config\.json lacks 'num_attention"):
        complete_profile(find_profile("demo", weights=str(folder)))
