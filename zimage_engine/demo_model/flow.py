"""Train the demo model's text encoder and transformer together, by flow matching.

``python -m zimage_engine.demo_model.flow`` (and goes on where it stopped). A step mixes latents with noise,
``x = (1 − σ)·latents + σ·noise``, and the transformer learns ``latents − noise``: what Z-Image's own transformer
answers at time ``1 − σ``. σ is half logit-normal(0, 1), half uniform, then shifted by 3 as sampling shifts it:
outlines form below σ = 0.5, where a logit-normal alone hardly looks.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import nn
from torch.nn import functional as F
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from zimage_engine.demo_model.captions import any_caption, filler, plain_caption
from zimage_engine.demo_model.reading import read
from zimage_engine.demo_model.scenes import COLOURS, PLACES, SHAPES, SIZES, Scene, draw, every_scene
from zimage_engine.demo_model.tokenizer import as_chat, build_tokenizer
from zimage_engine.demo_model.training import WORK, Trainer, log
from zimage_engine.demo_model.vae import OFFERED, to_picture, to_tensor, trained_vae

PixelSize = tuple[int, int]

SHIFT = 3.0
_TOKENS_PER_STEP = 64 * 32
_EMPTY_CAPTIONS = 0.1
_CAPTION_BUCKETS = {32: 0.88, 64: 0.08, 96: 0.04}
_CHOSEN = {"medium": 0.97, "large": 0.03}
_SQUARE = (256, 256)
_SAID = {"shape": SHAPES, "colour": COLOURS, "background": COLOURS, "size": SIZES, "place": PLACES}
_LISTENING = 0.05
_NORMALISATION = WORK / "normalisation.json"


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


class TextToLatents(nn.Module):
    """The two modules that learn together, and a listener that helps the text encoder on and does not ship."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.text_encoder = Qwen3Model(
            Qwen3Config(
                vocab_size=vocabulary,
                hidden_size=128,
                intermediate_size=384,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
                max_position_embeddings=1024,
                tie_word_embeddings=False,
                use_cache=False,
            )
        )
        self.transformer = ZImageTransformer2DModel(
            in_channels=16,
            dim=192,
            n_layers=6,
            n_refiner_layers=1,
            n_heads=4,
            n_kv_heads=4,
            cap_feat_dim=128,
            axes_dims=[16, 16, 16],
            axes_lens=[1024, 64, 64],
        )
        self.listener = nn.Linear(128, sum(len(choices) for choices in _SAID.values()))
        for token in (self.transformer.x_pad_token, self.transformer.cap_pad_token):
            nn.init.normal_(token, std=0.02)

    def embed(self, ids: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        """Caption embeddings, one ``(length, 128)`` each, as Z-Image takes them: the last hidden state but one."""
        hidden = self.text_encoder(input_ids=ids, output_hidden_states=True).hidden_states[-2]
        return [states[:length] for states, length in zip(hidden, lengths, strict=True)]

    def listening_loss(self, captions: list[torch.Tensor], scenes: list[Scene]) -> torch.Tensor:
        """How badly shape, colours, size and place are told from the captions' last token: cross entropy, summed.

        The pictures alone teach it too, only much more slowly.
        """
        heard = self.listener(torch.stack([states[-1] for states in captions]).float())
        parts = heard.split([len(choices) for choices in _SAID.values()], dim=1)
        loss: torch.Tensor = heard.new_zeros(())
        for (part, choices), answer in zip(_SAID.items(), parts, strict=True):
            truth = torch.tensor([choices.index(getattr(scene, part)) for scene in scenes])
            loss = loss + F.cross_entropy(answer, truth)
        return loss

    def forward(self, noisy: torch.Tensor, sigma: torch.Tensor, captions: list[torch.Tensor]) -> torch.Tensor:
        """``(n, 16, h, w)`` noisy latents at ``sigma`` (n,) → the predicted ``latents − noise``."""
        answer = self.transformer(list(noisy.unsqueeze(2)), 1 - sigma, captions, return_dict=False)[0]
        return torch.stack([one.squeeze(1) for one in answer])


class LatentPool:
    """Sampled latents of drawn scenes, by size, kept on disk; a few are redrawn all the time, so none is memorised."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae
        self._scenes = [scene for scene in every_scene() if not scene.held_out]
        self._latents: dict[PixelSize, torch.Tensor] = {}
        self._labels: dict[PixelSize, list[Scene]] = {}

    def fill(self, rng: np.random.Generator) -> Normalisation:
        """Read the pool from disk, or draw it (some minutes)."""
        path = WORK / "latents.pt"
        if path.exists():
            stored = torch.load(path, weights_only=True)
            self._latents = {tuple(size): latents for size, latents in stored["latents"]}
            self._labels = {tuple(size): [self._scenes[i] for i in which] for size, which in stored["scenes"]}
        else:
            which: list[tuple[PixelSize, list[int]]] = []
            for size in (size for group in OFFERED.values() for size in group):
                count = _pool_size(size)
                picked = rng.integers(len(self._scenes), size=count).tolist()
                self._labels[size] = [self._scenes[i] for i in picked]
                chunk = max(1, 16 * 256 * 256 // (size[0] * size[1]))
                parts = [self._encode(self._labels[size][i : i + chunk], size, rng) for i in range(0, count, chunk)]
                self._latents[size] = torch.cat(parts)
                which.append((size, picked))
                log(f"flow: {count} latents of {size[0]} × {size[1]}")
            torch.save({"latents": list(self._latents.items()), "scenes": which}, path)
        square = self._latents[_SQUARE].float()
        norm = Normalisation(shift=square.mean().item(), scale=1 / square.std().item())
        norm.write()
        return norm

    @torch.no_grad()
    def _encode(self, scenes: list[Scene], size: PixelSize, rng: np.random.Generator) -> torch.Tensor:
        pixels = to_tensor([draw(scene, *size, rng) for scene in scenes])
        with torch.autocast("cpu", torch.bfloat16):
            latents: torch.Tensor = self._vae.encode(pixels).latent_dist.sample().half()
            return latents

    def redraw(self, size: PixelSize, count: int, rng: np.random.Generator) -> None:
        places = rng.integers(len(self._labels[size]), size=count).tolist()
        scenes = [self._scenes[i] for i in rng.integers(len(self._scenes), size=count)]
        self._latents[size][places] = self._encode(scenes, size, rng)
        for place, scene in zip(places, scenes, strict=True):
            self._labels[size][place] = scene

    def batch(self, size: PixelSize, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[Scene]]:
        places = rng.integers(len(self._labels[size]), size=count).tolist()
        return self._latents[size][places].float(), [self._labels[size][place] for place in places]


def _pool_size(size: PixelSize) -> int:
    if size == _SQUARE:
        return 6000
    return 800 if size in OFFERED["medium"] else 120


def pick_size(rng: np.random.Generator) -> PixelSize:
    """Mostly medium sizes, and of these the square one in six of ten."""
    group = OFFERED[str(rng.choice(list(_CHOSEN), p=list(_CHOSEN.values())))]
    if group[0] == _SQUARE and rng.random() < 0.6:
        return _SQUARE
    return group[rng.integers(len(group))]


def tokenise(tokenizer: Qwen2Tokenizer, captions: list[str]) -> tuple[torch.Tensor, list[int]]:
    """Token ids padded on the right, ``(n, longest)``, and the real lengths."""
    chats = [as_chat(tokenizer, caption) for caption in captions]
    made = tokenizer(chats, padding=True, return_tensors="pt")
    return made.input_ids, made.attention_mask.sum(dim=1).tolist()


def caption_for(scene: Scene, bucket: int, rng: np.random.Generator) -> str:
    """A caption of up to ``bucket`` tokens (and more than 32 less); one in ten is empty, or guidance means nothing."""
    if bucket == 32:
        return "" if rng.random() < _EMPTY_CAPTIONS else any_caption(scene, rng)
    return any_caption(scene, rng) + filler(rng, bucket - 30 + int(rng.integers(-10, 2)))


def sample_sigma(count: int, random: torch.Generator) -> torch.Tensor:
    """``(count,)`` noise levels in 0 … 1."""
    normal = torch.sigmoid(torch.randn(count, generator=random))
    even = torch.rand(count, generator=random)
    sigma = torch.where(torch.rand(count, generator=random) < 0.5, normal, even)
    return SHIFT * sigma / (1 + (SHIFT - 1) * sigma)


@torch.no_grad()
def preview(model: TextToLatents, vae: AutoencoderKL, tokenizer: Qwen2Tokenizer, norm: Normalisation) -> str:
    """Draw 40 held-out scenes at 256² in 8 steps and count what reads back."""
    scenes = [scene for scene in every_scene() if scene.held_out][::6][:40]
    captions = model.embed(*tokenise(tokenizer, [plain_caption(scene) for scene in scenes]))
    latents = torch.randn(len(scenes), 16, 16, 16, generator=torch.Generator().manual_seed(0))
    sigmas = torch.linspace(1, 1 / 8, 8)
    sigmas = torch.cat([SHIFT * sigmas / (1 + (SHIFT - 1) * sigmas), torch.zeros(1)])
    for now, after in pairwise(sigmas):
        latents = latents - (after - now) * model(latents, now.expand(len(scenes)), captions)
    seen = [read(to_picture(one)) for one in vae.decode(latents / norm.scale + norm.shift).sample]
    parts = ("shape", "colour", "background", "size", "place")
    pairs = list(zip(seen, scenes, strict=True))
    counts = {part: sum(getattr(a, part) == getattr(b, part) for a, b in pairs) for part in parts}
    return f"of {len(scenes)}: " + ", ".join(f"{part} {count}" for part, count in counts.items())


def train(total: int, *, compiled: bool) -> None:
    """Train up to ``total`` steps, going on from the checkpoint; every 500 steps some held-out scenes are drawn."""
    tokenizer = build_tokenizer()
    vae = trained_vae()
    pool = LatentPool(vae)
    norm = pool.fill(np.random.default_rng(3))
    torch.manual_seed(0)
    trainer = Trainer("flow", TextToLatents(len(tokenizer)), total=total, peak=1e-3)
    trainer.resume()
    if compiled:
        # All blocks share one function; each combination of size and mask is a compilation of its own.
        torch._dynamo.config.recompile_limit = 64  # noqa: SLF001
        trainer.module.transformer.compile_repeated_blocks(dynamic=True)
    began, first, losses = time.monotonic(), trainer.step, []
    while trainer.step < total:
        rng = np.random.default_rng((4, trainer.step))
        random = torch.Generator().manual_seed(trainer.step)
        size = pick_size(rng)
        count = max(8, _TOKENS_PER_STEP // (size[0] * size[1] // 1024))
        if trainer.step % 10 == 0:
            pool.redraw(size, 16, rng)
        raw, scenes = pool.batch(size, count, rng)
        bucket = int(rng.choice(list(_CAPTION_BUCKETS), p=list(_CAPTION_BUCKETS.values())))
        captions = [caption_for(scene, bucket, rng) for scene in scenes]
        latents = (raw - norm.shift) * norm.scale
        sigma = sample_sigma(count, random)
        noise = torch.randn(latents.shape, generator=random)
        mix = sigma[:, None, None, None]
        with torch.autocast("cpu", torch.bfloat16):
            embedded = trainer.module.embed(*tokenise(tokenizer, captions))
            answer = trainer.module((1 - mix) * latents + mix * noise, sigma, embedded)
        loss = F.mse_loss(answer.float(), latents - noise)
        told = [i for i, caption in enumerate(captions) if caption]
        heard = trainer.module.listening_loss([embedded[i] for i in told], [scenes[i] for i in told])
        trainer.update(loss + _LISTENING * heard)
        losses.append((loss.item(), heard.item()))
        if trainer.step % 50 == 0:
            pace = (time.monotonic() - began) / (trainer.step - first)
            picture, text = np.mean(losses[-50:], axis=0)
            log(f"flow: step {trainer.step}/{total}, loss {picture:.4f}, listening {text:.2f}, {pace:.2f} s a step")
        if trainer.step % 500 == 0:
            shown = TextToLatents(len(tokenizer))
            shown.load_state_dict(trainer.average)
            log(f"flow: step {trainer.step}, {preview(shown.eval(), vae, tokenizer, norm)}")
    trainer.save()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=7000, help="a longer training may be asked for later")
    options.add_argument(
        "--compile", action="store_true", help="compile the blocks: a third faster, needs a C++ compiler"
    )
    chosen = options.parse_args()
    train(chosen.steps, compiled=chosen.compile)


if __name__ == "__main__":
    main()
