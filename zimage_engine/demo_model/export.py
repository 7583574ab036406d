"""Write the trained parts as one folder in diffusers' layout: ``python -m zimage_engine.demo_model.export``.

Weights are rounded to bfloat16 on disk, half the size; the configs say float32, so that plain
``ZImagePipeline.from_pretrained(folder)`` computes in float32.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline

from zimage_engine.demo_model.flow import SHIFT, Normalisation, TextToLatents
from zimage_engine.demo_model.tokenizer import build_tokenizer
from zimage_engine.demo_model.training import averaged
from zimage_engine.demo_model.vae import trained_vae
from zimage_engine.profiles import DEMO_WEIGHTS

_LARGEST = 16_000_000


def export(folder: Path) -> int:
    """Replace the folder by the trained model; its size in bytes."""
    tokenizer = build_tokenizer()
    vae, learnt = trained_vae(), averaged("flow", TextToLatents(len(tokenizer)))
    norm = Normalisation.read()
    vae.register_to_config(scaling_factor=norm.scale, shift_factor=norm.shift)
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae,
        text_encoder=learnt.text_encoder,
        tokenizer=tokenizer,
        transformer=learnt.transformer,
    )
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, default=DEMO_WEIGHTS)
    folder = options.parse_args().folder
    size = export(folder)
    print(f"{size / 1e6:.2f} MB in {folder} (goal ≤ {_LARGEST / 1e6:.0f} MB)")
    if size > _LARGEST:
        raise SystemExit("The model is too large to ship.")


if __name__ == "__main__":
    main()
