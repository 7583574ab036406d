"""Write the trained parts as one folder in diffusers' layout: ``python -m training.export``.

Weights are rounded to bfloat16 on disk, half the size; the configs say float32, so that plain
``ZImagePipeline.from_pretrained(folder)`` computes in float32.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImagePipeline
from torch.nn import functional

from training.flow import SHIFT, TextToLatents
from training.latents import Normalisation, training_scenes
from training.scenes import draw
from training.tokenizer import build_tokenizer
from training.training import averaged
from training.vae import to_tensor, trained_vae
from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.preview_files import PREVIEW_FILE

_BYTES_MAX = 16_000_000
_FITTED_PICTURES = 256


@torch.no_grad()
def fit_preview(vae: AutoencoderKL, norm: Normalisation) -> dict[str, object]:
    """Fit a cell's mean colour by least squares to its latent and the picture's mean latent, over drawn scenes.

    Returns the arguments of :class:`zimage_engine.model.previews.LinearMap`.
    """
    rng, scenes = np.random.default_rng(8), training_scenes()
    inputs: list[torch.Tensor] = []
    colours: list[torch.Tensor] = []
    for _ in range(_FITTED_PICTURES // 8):
        pixels = to_tensor([draw(scenes[i], 256, 256, rng) for i in rng.integers(len(scenes), size=8)])
        latents = (vae.encode(pixels).latent_dist.mode() - norm.shift) * norm.scale
        mean = latents.mean(dim=(2, 3), keepdim=True).expand_as(latents)
        inputs.append(torch.cat([latents, mean], dim=1).movedim(1, -1).flatten(0, -2))
        colours.append(functional.avg_pool2d(pixels, 256 // latents.shape[-1]).movedim(1, -1).flatten(0, -2))
    known = functional.pad(torch.cat(inputs), (0, 1), value=1.0)
    fitted = torch.linalg.lstsq(known, torch.cat(colours)).solution
    rounded = [[round(value, 4) for value in row] for row in fitted.tolist()]
    channels = vae.config.latent_channels
    return {"factors": rounded[:channels], "mean_factors": rounded[channels:-1], "bias": rounded[-1]}


def export(folder: Path) -> int:
    """Replace the folder by the trained model. Returns its size in bytes."""
    tokenizer = build_tokenizer()
    vae, trained = trained_vae(), averaged("flow", TextToLatents(len(tokenizer)))
    norm = Normalisation.read()
    vae.register_to_config(scaling_factor=norm.scale, shift_factor=norm.shift)
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae,
        text_encoder=trained.text_encoder,
        tokenizer=tokenizer,
        transformer=trained.transformer,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    (folder / PREVIEW_FILE).write_text(json.dumps(fit_preview(trained_vae(), norm)) + "\n")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, default=DEMO_WEIGHTS)
    folder = options.parse_args().folder
    size = export(folder)
    print(f"{size / 1e6:.2f} MB in {folder} (goal ≤ {_BYTES_MAX / 1e6:.0f} MB)")
    if size > _BYTES_MAX:
        raise SystemExit("The model is too large to ship.")


if __name__ == "__main__":
    main()
