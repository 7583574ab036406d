"""Train the demo model's text encoder and transformer together, by flow matching.

``python -m training.flow`` (continues where it stopped). A step mixes latents with noise,
``x = (1 − σ)·latents + σ·noise``, and the transformer learns ``latents − noise``, which is the output of Z-Image's
transformer at time ``1 − σ``. σ is half logit-normal(0, 1), half uniform, then shifted by 3 as in sampling:
outlines form below σ = 0.5, where a logit-normal distribution has few samples.
"""

from __future__ import annotations

import argparse
import os
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import nn
from torch.nn import functional
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from training.captions import plain_caption
from training.latents import (
    CAPTION_PARTS,
    LatentPool,
    Normalisation,
    PixelSize,
    TrainingBatch,
    TrainingBatches,
    padded_ids,
)
from training.reading import read
from training.scenes import every_scene
from training.tokenizer import as_chat, build_tokenizer
from training.training import Trainer, log, pick_device
from training.vae import to_picture, trained_vae
from zimage_engine.catalog import DEMO_WEIGHTS

SHIFT = 3.0
_TOKENS_A_PICTURE = 64
_PROBE_WEIGHT = 0.05


class TextToLatents(nn.Module):
    """The two modules that are trained together, and a linear probe that is for training only."""

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
        self.probe = nn.Linear(128, sum(map(len, CAPTION_PARTS.values())))
        for token in (self.transformer.x_pad_token, self.transformer.cap_pad_token):
            nn.init.normal_(token, std=0.02)

    def read_shipped(self) -> None:
        """Load the shipped weights; they are rounded, which a few steps of training repair."""
        self.text_encoder = Qwen3Model.from_pretrained(DEMO_WEIGHTS / "text_encoder", dtype=torch.float32)
        self.transformer = ZImageTransformer2DModel.from_pretrained(DEMO_WEIGHTS / "transformer", dtype=torch.float32)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return caption embeddings ``(n, tokens, 128)`` as Z-Image takes them: the last hidden state but one."""
        embedded: torch.Tensor = self.text_encoder(input_ids=ids, output_hidden_states=True).hidden_states[-2]
        return embedded

    def probe_loss(self, captions: torch.Tensor, lengths: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the summed cross entropy of reading shape, colours, size and place off the captions' last token.

        ``truth`` is ``(n, 5)``, each part's index. Without it the text encoder learns the same, but much more slowly.
        """
        last = captions[torch.arange(len(captions), device=captions.device), lengths - 1]
        parts = self.probe(last.float()).split([len(choices) for choices in CAPTION_PARTS.values()], dim=1)
        return torch.stack([functional.cross_entropy(part, truth[:, i]) for i, part in enumerate(parts)]).sum()

    def forward(
        self, noisy: torch.Tensor, sigma: torch.Tensor, captions: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Return the predicted ``latents − noise`` for ``(n, 16, h, w)`` noisy latents at ``sigma`` ``(n,)``.

        Computes the same as the transformer's own forward, for pictures of one size and captions ``(n, tokens, 128)``
        that round up to the same multiple of 32 tokens. That forward works through lists, a sample at a time, which on
        a GPU takes many times as long as the arithmetic.
        """
        net = self.transformer
        count, channels, height, width = noisy.shape
        rows, columns, tokens = height // 2, width // 2, captions.shape[1]
        patches = noisy.view(count, channels, rows, 2, columns, 2).permute(0, 2, 4, 3, 5, 1)
        image = net.all_x_embedder["2-1"](patches.reshape(count, rows * columns, 4 * channels))
        padding = net.x_pad_token.to(image.dtype).expand(count, -rows * columns % 32, -1)
        image = torch.cat([image, padding], dim=1)
        image_turn, caption_turn = _rotations(net, rows, columns, tokens)
        time = net.t_embedder((1 - sigma) * net.t_scale).type_as(noisy)
        for block in net.noise_refiner:
            image = block(image, None, image_turn, time)
        caption = net.cap_embedder(captions)
        unused = torch.arange(tokens, device=lengths.device) >= lengths[:, None]
        caption = torch.where(unused[..., None], net.cap_pad_token.to(caption.dtype), caption)
        for block in net.context_refiner:
            caption = block(caption, None, caption_turn)
        both, turn = torch.cat([image, caption], dim=1), torch.cat([image_turn, caption_turn], dim=1)
        for block in net.layers:
            both = block(both, None, turn, time)
        answer = net.all_final_layer["2-1"](both[:, : rows * columns], c=time)
        answer = answer.view(count, rows, columns, 2, 2, channels).permute(0, 5, 1, 3, 2, 4)
        pictures: torch.Tensor = answer.reshape(count, channels, height, width)
        return pictures


def _rotations(
    net: ZImageTransformer2DModel, rows: int, columns: int, tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rotary frequencies of the image's and the caption's positions, ``(1, tokens, head ÷ 2)`` each.

    Captions are at ``(1 …, 0, 0)``, the image's patches at ``(tokens + 1, row, column)``, padding at 0.
    """
    device = net.x_pad_token.device
    grid = torch.cartesian_prod(torch.tensor([tokens + 1]), torch.arange(rows), torch.arange(columns))
    image = functional.pad(grid, (0, 0, 0, -rows * columns % 32))
    caption = functional.pad(torch.arange(1, tokens + 1)[:, None], (0, 2))
    return net.rope_embedder(image.to(device))[None], net.rope_embedder(caption.to(device))[None]


def sample_sigma(count: int, device: torch.device) -> torch.Tensor:
    """Return ``(count,)`` noise levels in 0 … 1."""
    normal = torch.sigmoid(torch.randn(count, device=device))
    even = torch.rand(count, device=device)
    sigma = torch.where(torch.rand(count, device=device) < 0.5, normal, even)
    return SHIFT * sigma / (1 + (SHIFT - 1) * sigma)


@torch.no_grad()
def preview(
    model: TextToLatents, vae: AutoencoderKL, tokenizer: Qwen2Tokenizer, norm: Normalisation, size: PixelSize
) -> str:
    """Generate 120 held-out scenes in 8 steps and count what reads back right."""
    device = model.transformer.x_pad_token.device
    scenes = [scene for scene in every_scene() if scene.held_out][::2][:120]
    rows = [tokenizer(as_chat(tokenizer, plain_caption(scene))).input_ids for scene in scenes]
    lengths = torch.tensor([len(row) for row in rows], device=device)
    captions = model.embed(padded_ids(rows, 32).to(device))
    noise = torch.randn(len(scenes), 16, size[1] // 16, size[0] // 16, generator=torch.Generator().manual_seed(0))
    latents = noise.to(device)
    sigmas = torch.linspace(1, 1 / 8, 8, device=device)
    sigmas = functional.pad(SHIFT * sigmas / (1 + (SHIFT - 1) * sigmas), (0, 1))
    for now, after in pairwise(sigmas):
        latents = latents - (after - now) * model(latents, now.expand(len(scenes)), captions, lengths)
    drawn = torch.cat([vae.decode(some / norm.scale + norm.shift).sample for some in torch.split(latents, 8)])
    pairs = list(zip([read(to_picture(one)) for one in drawn.cpu()], scenes, strict=True))
    counts = {part: sum(getattr(a, part) == getattr(b, part) for a, b in pairs) for part in CAPTION_PARTS}
    return f"of {len(scenes)} at {size}: " + ", ".join(f"{part} {count}" for part, count in counts.items())


def loss_of(model: TextToLatents, batch: TrainingBatch, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the squared error of the predicted ``latents − noise``, and the probe's loss."""
    device = latents.device
    sigma, noise = sample_sigma(len(latents), device), torch.randn_like(latents)
    mix = sigma[:, None, None, None]
    lengths, described = batch.lengths.to(device), batch.described.nonzero()[:, 0]
    with torch.autocast(device.type, torch.bfloat16):
        embedded = model.embed(batch.ids.to(device))
        answer = model((1 - mix) * latents + mix * noise, sigma, embedded, lengths)
    probe = model.probe_loss(embedded[described], lengths[described], batch.truth[described].to(device))
    return functional.mse_loss(answer.float(), latents - noise), probe


def train(trainer: Trainer[TextToLatents], tokenizer: Qwen2Tokenizer, chosen: argparse.Namespace) -> None:
    """Train to the end from the checkpoint on, and generate held-out scenes now and then."""
    device = pick_device()
    vae = trained_vae().to(device)
    pool = LatentPool(vae, device)
    norm = pool.fill(chosen.pool, chosen.workers)
    batches = TrainingBatches(pool.labels, tokenizer, _TOKENS_A_PICTURE * chosen.batch)
    trainer.start()
    losses: list[torch.Tensor] = []
    for batch in batches.upcoming(trainer.step, trainer.total, chosen.workers):
        torch.manual_seed(trainer.step)
        if batch.redrawn is not None:
            pool.redraw(batch.size, batch.places[: len(batch.redrawn)], batch.redrawn)
        latents = (pool.take(batch.size, batch.places) - norm.shift) * norm.scale
        denoising, probe = loss_of(trainer.module, batch, latents)
        trainer.update(denoising + _PROBE_WEIGHT * probe)
        losses.append(torch.stack([denoising, probe]).detach())
        trainer.report(losses)
        if trainer.step % chosen.preview_every == 0 or trainer.over:
            shown = TextToLatents(len(tokenizer)).to(device).eval()
            shown.load_state_dict(trainer.average)
            for size in ((256, 256), (320, 192)):
                log(f"flow: step {trainer.step}, {preview(shown, vae, tokenizer, norm, size)}")
        if trainer.over:
            break
    trainer.save()


def main() -> None:
    """Train from the checkpoint, if there is one, else from the beginning."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=7000, help="a longer training may be asked for later")
    options.add_argument("--minutes", type=float, help="stop by then; the learning rate falls in time")
    options.add_argument("--batch", type=int, default=32, help="pictures of 256 × 256 a step; a GPU: 768")
    options.add_argument("--pool", type=int, default=1, help="how many times 13,000 latents are kept; a GPU: 4")
    options.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    options.add_argument("--from-shipped", action="store_true", help="start from the weights that ship")
    options.add_argument("--workers", type=int, default=max(0, (os.cpu_count() or 1) - 2), help="who draw and write")
    options.add_argument("--preview-every", type=int, default=500, help="steps between two looks at held-out scenes")
    options.add_argument(
        "--compile", action="store_true", help="compile the blocks: a third faster, needs a C++ compiler"
    )
    chosen = options.parse_args()
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    model = TextToLatents(len(tokenizer))
    if chosen.from_shipped:
        model.read_shipped()
    model = model.to(pick_device())
    trainer = Trainer("flow", model, total=chosen.steps, peak=chosen.rate, minutes=chosen.minutes)
    trainer.resume()
    if chosen.compile:
        # All blocks share one function; each combination of size and mask is a compilation of its own.
        torch._dynamo.config.recompile_limit = 64  # noqa: SLF001
        model.transformer.compile_repeated_blocks(dynamic=True)
    train(trainer, tokenizer, chosen)


if __name__ == "__main__":
    main()
