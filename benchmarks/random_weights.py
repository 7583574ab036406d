"""Write the full-size model with random weights as a folder in the hub's layout, weights in shards.

``python -m benchmarks.random_weights FOLDER`` takes 21 GB of disk. The folder loads like the real one
(``MODEL=FOLDER PROFILE=turbo zimage-bot imagine …``), and its pictures are noise.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from transformers import AutoTokenizer

from zimage_engine.catalog import DEMO_WEIGHTS
from zimage_engine.device.devices import pick_device
from zimage_engine.device.unit_benchmark import RandomParts

_SHARD = "5GB"


def write_model(folder: Path) -> None:
    """Write the model part by part, so that only the largest part has to fit into memory."""
    parts = RandomParts(pick_device(), torch.bfloat16)
    for name in ("transformer", "text_encoder", "vae"):
        module = getattr(parts, name)()
        module.save_pretrained(folder / name, max_shard_size=_SHARD)
        del module
        gc.collect()
    # The demo's tokenizer stands in for Qwen's: its ids are all in the vocabulary.
    AutoTokenizer.from_pretrained(DEMO_WEIGHTS / "tokenizer").save_pretrained(folder / "tokenizer")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    index = json.loads((DEMO_WEIGHTS / "model_index.json").read_text(encoding="utf-8"))
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("Say where to: python -m benchmarks.random_weights FOLDER (21 GB)")
    write_model(Path(sys.argv[1]))
