"""The training data of the transformer: latents of drawn scenes and their captions.

The latents are in a pool on the training's device. Worker processes draw scenes and write captions ahead of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.utils.data import DataLoader, Dataset
from transformers import Qwen2Tokenizer

from training.captions import any_caption, filler
from training.scenes import COLOURS, PLACES, SHAPES, SIZES, Scene, draw, every_scene
from training.tokenizer import as_chat
from training.training import WORK, log
from training.vae import OFFERED, to_tensor

PixelSize = tuple[int, int]

CAPTION_PARTS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": COLOURS,
    "background": COLOURS,
    "size": SIZES,
    "place": PLACES,
}
"""The parts of a scene that a caption describes, and their values."""

_SQUARE = (256, 256)
_EMPTY_CAPTION_SHARE = 0.1
_CAPTION_BUCKETS = {32: 0.88, 64: 0.08, 96: 0.04}
_SIZE_SHARES = {"medium": 0.97, "large": 0.03}
_REDRAWN_EVERY = 10
_NORMALISATION = WORK / "normalisation.json"
_POOL = WORK / "latents.pt"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """``(latents − shift) · scale`` has mean 0 and standard deviation 1 over the pool."""

    shift: float
    scale: float

    def write(self) -> None:
        _NORMALISATION.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls) -> Normalisation:
        return cls(**json.loads(_NORMALISATION.read_text()))


def training_scenes() -> list[Scene]:
    return [scene for scene in every_scene() if not scene.held_out]


def offered() -> list[PixelSize]:
    return [size for group in OFFERED.values() for size in group]


class _Chunks(Dataset[torch.Tensor]):
    """Pictures of scenes for worker processes to draw: chunks of ``(n, 3, height, width)`` in -1 … 1."""

    def __init__(self, scenes: list[Scene], size: PixelSize) -> None:
        self._scenes, self._size = scenes, size
        self._chunk = max(1, 64 * 256 * 256 // (size[0] * size[1]))

    def __len__(self) -> int:
        return math.ceil(len(self._scenes) / self._chunk)

    def __getitem__(self, index: int) -> torch.Tensor:
        rng = np.random.default_rng((3, *self._size, index))
        chosen = self._scenes[index * self._chunk : (index + 1) * self._chunk]
        return to_tensor([draw(scene, *self._size, rng) for scene in chosen])


class LatentPool:
    """Sampled latents of drawn scenes by size, stored on disk. Some are redrawn regularly, so that none is memorised.

    ``labels`` holds the index of each entry's scene in :func:`training_scenes`; redrawing keeps the scene.
    """

    def __init__(self, vae: AutoencoderKL, device: torch.device) -> None:
        self._vae = vae
        self._device = device
        self._latents: dict[PixelSize, torch.Tensor] = {}
        self.labels: dict[PixelSize, list[int]] = {}

    def fill(self, factor: int, workers: int) -> Normalisation:
        """Read the pool from disk, or create it (some minutes) with ``factor`` times the entries that suit a CPU."""
        if _POOL.exists():
            stored = torch.load(_POOL, weights_only=True)
            self._latents = {tuple(size): latents.to(self._device) for size, latents in stored["latents"]}
            self.labels = {tuple(size): which for size, which in stored["scenes"]}
        else:
            rng, scenes = np.random.default_rng(3), training_scenes()
            for size in offered():
                self.labels[size] = rng.integers(len(scenes), size=_pool_size(size) * factor).tolist()
                chunks = _Chunks([scenes[i] for i in self.labels[size]], size)
                loader = DataLoader(chunks, batch_size=None, num_workers=workers)
                self._latents[size] = torch.cat([self._encode(pixels) for pixels in loader])
                log(f"flow: {len(self._latents[size])} latents of {size[0]} × {size[1]}")
            WORK.mkdir(parents=True, exist_ok=True)
            on_disk = [(size, latents.cpu()) for size, latents in self._latents.items()]
            torch.save({"latents": on_disk, "scenes": list(self.labels.items())}, _POOL)
        square = self._latents[_SQUARE].float()
        norm = Normalisation(shift=square.mean().item(), scale=1 / square.std().item())
        norm.write()
        return norm

    @torch.no_grad()
    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16):
            latents: torch.Tensor = self._vae.encode(pixels.to(self._device)).latent_dist.sample().half()
            return latents

    def redraw(self, size: PixelSize, places: torch.Tensor, pixels: torch.Tensor) -> None:
        """Replace the entries at ``places`` by the latents of these pictures."""
        self._latents[size][places.to(self._device)] = self._encode(pixels)

    def take(self, size: PixelSize, places: torch.Tensor) -> torch.Tensor:
        """Return the entries at ``places``: ``(n, 16, h, w)`` latents, float32."""
        return self._latents[size][places.to(self._device)].float()


def _pool_size(size: PixelSize) -> int:
    if size == _SQUARE:
        return 6000
    return 800 if size in OFFERED["medium"] else 120


def pick_size(rng: np.random.Generator) -> PixelSize:
    """Return a random size: mostly a medium one, and of these in half the cases the square one."""
    group = OFFERED[str(rng.choice(list(_SIZE_SHARES), p=list(_SIZE_SHARES.values())))]
    if group[0] == _SQUARE and rng.random() < 0.5:
        return _SQUARE
    return group[rng.integers(len(group))]


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """One step's examples: ``places`` in the pool of a size, their captions, and new pictures for some of them.

    ``ids`` is ``(n, bucket)``, padded on the right. ``truth`` is ``(n, 5)``, each part's index in
    :data:`CAPTION_PARTS`. ``described`` is False for an empty caption.
    """

    size: PixelSize
    places: torch.Tensor
    ids: torch.Tensor
    lengths: torch.Tensor
    truth: torch.Tensor
    described: torch.Tensor
    redrawn: torch.Tensor | None


class TrainingBatches(Dataset[TrainingBatch]):
    """The batch of each step; it depends on the step alone, not on the process that makes it."""

    def __init__(self, labels: dict[PixelSize, list[int]], tokenizer: Qwen2Tokenizer, tokens: int) -> None:
        self._labels = {size: np.array(which) for size, which in labels.items()}
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._scenes = training_scenes()

    def __getitem__(self, step: int) -> TrainingBatch:
        rng = np.random.default_rng((4, step))
        size = pick_size(rng)
        count = max(8, self._tokens // (size[0] * size[1] // 1024))
        places = rng.integers(len(self._labels[size]), size=count)
        scenes = [self._scenes[i] for i in self._labels[size][places]]
        bucket = int(rng.choice(list(_CAPTION_BUCKETS), p=list(_CAPTION_BUCKETS.values())))
        rows = [self._caption(scene, bucket, rng) for scene in scenes]
        redrawn = None
        if step % _REDRAWN_EVERY == 0:
            redrawn = to_tensor([draw(scene, *size, rng) for scene in scenes[: count // 2]])
        return TrainingBatch(
            size=size,
            places=torch.from_numpy(places),
            ids=padded_ids([ids for ids, _ in rows], bucket),
            lengths=torch.tensor([len(ids) for ids, _ in rows]),
            truth=torch.tensor(
                [[said.index(getattr(scene, part)) for part, said in CAPTION_PARTS.items()] for scene in scenes]
            ),
            described=torch.tensor([described for _, described in rows]),
            redrawn=redrawn,
        )

    def _caption(self, scene: Scene, bucket: int, rng: np.random.Generator) -> tuple[list[int], bool]:
        """Return a caption's ids, and False if it is empty: one in ten is, since guidance needs that.

        The number of ids rounds up to ``bucket``, so that the captions of a step need no mask.
        """
        while True:
            caption = "" if bucket == 32 and rng.random() < _EMPTY_CAPTION_SHARE else any_caption(scene, rng)
            if bucket > 32:
                caption += filler(rng, int(rng.integers(bucket // 4, bucket)))
            ids = self._tokenizer(as_chat(self._tokenizer, caption)).input_ids
            if bucket - 32 < len(ids) <= bucket:
                return ids, bool(caption)

    def upcoming(self, first: int, last: int, workers: int) -> Iterable[TrainingBatch]:
        """Return the batches of the steps ``first`` … ``last - 1``, made by ``workers`` processes (0: by this one)."""
        ahead: dict[str, Any] = {"prefetch_factor": 4} if workers else {}
        return DataLoader(self, batch_size=None, sampler=range(first, last), num_workers=workers, **ahead)


def padded_ids(rows: list[list[int]], length: int) -> torch.Tensor:
    """Return ``(n, length)`` token ids, padded on the right with 0, which is never read."""
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])
