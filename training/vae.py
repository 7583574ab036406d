"""Train the demo model's image autoencoder: 16 pixels to one latent, 16 channels.

``python -m training.vae`` trains (continues where it stopped), whitens the latents and checks the gates. Steps
alternate between whole pictures, since group normalisation sees the whole picture, and crops of 96² around outlines,
which are the hardest part. At the end the decoder is trained alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from training.reading import read
from training.scenes import draw, every_scene, outline, paint, pick_brush
from training.training import WORK, Trainer, averaged, pick_device
from zimage_engine.catalog import DEMO_WEIGHTS, find_profile

_CHANNELS = (16, 32, 48, 64, 96)
_CELL = 2 ** (len(_CHANNELS) - 1) * 2

OFFERED: dict[str, list[tuple[int, int]]] = {
    name: [(size.width, size.height) for size in sizes]
    for name, sizes in replace(find_profile("demo"), size_multiple=_CELL).offered_sizes().items()
}
"""The sizes on which the demo model is trained and checked, width × height."""

_CROP = 96
_CROPS_PER_STEP = 16
_CROP_SHARE = 0.35
_PIXELS_PER_STEP = 180_000
_SIZE_SHARES = {"medium": 0.93, "large": 0.07}
_KL_WEIGHT = 1e-6
_LATENT_NOISE = 0.25
_POSTERIOR_STD_MAX = 0.04
_SCENES = every_scene()
_SMALL_STARS = [scene for scene in _SCENES if scene.shape == "star" and scene.size == "small"]
_FINISHED = WORK / "autoencoder.pt"


def build_vae() -> AutoencoderKL:
    """Build an untrained autoencoder. Its posterior starts narrow (std 0.03), since noise would dominate early steps.

    Normalisation has one group: with two channels to a group the absolute colour of a plain picture is lost.
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(_CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(_CHANNELS),
        block_out_channels=_CHANNELS,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=1,
        sample_size=256,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    with torch.no_grad():
        vae.encoder.conv_out.bias[16:].fill_(-7.0)
    return vae


def to_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """Convert pictures to ``(n, 3, height, width)`` in -1 … 1."""
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_picture(pixels: torch.Tensor) -> Image.Image:
    """Convert one ``(3, height, width)`` tensor in -1 … 1 to a picture."""
    scaled = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(scaled.permute(1, 2, 0).numpy())


def sample_picture(rng: np.random.Generator, size: tuple[int, int], *, crop: bool) -> Image.Image:
    """Draw any scene: a quarter of them in colours outside the palette, and a fifth turned by any angle.

    With ``crop`` only a window of 96² near the outline is painted.
    """
    scene = _SCENES[rng.integers(len(_SCENES))]
    brush = pick_brush(scene, *size, rng)
    if rng.random() < 0.25:
        colours = rng.integers(0, 256, size=(2, 3)).tolist()
        brush = replace(brush, colour=tuple(colours[0]), background=tuple(colours[1]))
    if rng.random() < 0.2:
        brush = replace(brush, tilt=rng.uniform(0, 2 * np.pi))
    if not crop:
        return paint(scene.shape, brush, *size)
    corners = outline(scene.shape, brush.tilt) * brush.radius
    near = corners[rng.integers(len(corners))] * rng.uniform(0.4, 1.2)
    focus = _CROP / 2 + rng.uniform(-24, 24, size=2)
    centre = (float(focus[0] - near[0]), float(focus[1] - near[1]))
    return paint(scene.shape, replace(brush, centre=centre), _CROP, _CROP)


def reconstruction_loss(drawn: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the absolute error of pixels and of their horizontal and vertical differences.

    Figure and background have equal weight, whatever their areas; otherwise small shapes lose their colours.
    """
    drawn = drawn.float()
    figure = ((pixels - pixels[:, :, :1, :1]).abs().amax(dim=1, keepdim=True) > 0.1).float()
    share = figure.mean(dim=(1, 2, 3), keepdim=True).clamp(0.05, 0.95)
    weight = 0.5 * figure / share + 0.5 * (1 - figure) / (1 - share)
    edges = sum(functional.l1_loss(drawn.diff(dim=axis), pixels.diff(dim=axis)) for axis in (2, 3))
    loss: torch.Tensor = ((drawn - pixels).abs() * weight).mean() + 2 * edges
    return loss


def loss_of(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Return the reconstruction loss with *sampled* latents, plus the KL divergence from a standard normal.

    Up to a quarter of noise is added to the latents, for two reasons: a transformer's latents are never exact, and
    what must survive noise gets its share of the latents' variance. Without noise nearly all of the variance goes to
    the colours, and a transformer ignores the outlines. The mean square of the latents is kept below 1; otherwise they
    would grow until the noise does not matter.
    """
    with torch.autocast(pixels.device.type, torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        latents = posterior.sample()
        latents = latents + _LATENT_NOISE * torch.rand(len(latents), 1, 1, 1, device=latents.device) * torch.randn_like(
            latents
        )
        drawn = vae.decode(latents).sample
    mean_square = (posterior.mean.float() ** 2).mean()
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    loss: torch.Tensor = reconstruction_loss(drawn, pixels) + _KL_WEIGHT * kl + functional.relu(mean_square - 1)
    return loss


def _pick_size(rng: np.random.Generator) -> tuple[int, int]:
    group = OFFERED[str(rng.choice(list(_SIZE_SHARES), p=list(_SIZE_SHARES.values())))]
    return group[rng.integers(len(group))]


def training_pictures(rng: np.random.Generator, batch: int = 1) -> torch.Tensor:
    """Return the pictures of one step of the whole autoencoder, ``batch`` times as many as suit a CPU."""
    size, crop = _pick_size(rng), bool(rng.random() < _CROP_SHARE)
    count = _CROPS_PER_STEP if crop else max(1, round(_PIXELS_PER_STEP / (size[0] * size[1])))
    return to_tensor([sample_picture(rng, size, crop=crop) for _ in range(count * batch)])


def polishing_pictures(rng: np.random.Generator, batch: int = 1) -> torch.Tensor:
    """Return the pictures of one step of the decoder alone: a third are small stars, which are the hardest."""
    size = _pick_size(rng)
    count = batch * max(1, round(_PIXELS_PER_STEP / (size[0] * size[1])))
    stars = -(-count // 3)
    scenes = [_SMALL_STARS[i] for i in rng.integers(len(_SMALL_STARS), size=stars)]
    scenes += [_SCENES[i] for i in rng.integers(len(_SCENES), size=count - stars)]
    return to_tensor([draw(scene, *size, rng) for scene in scenes])


class _Pictures(Dataset[torch.Tensor]):
    """The pictures of each step, drawn ahead by worker processes."""

    def __init__(self, draw_some: Callable[[np.random.Generator, int], torch.Tensor], seed: int, batch: int) -> None:
        self._draw_some, self._seed, self._batch = draw_some, seed, batch

    def __getitem__(self, step: int) -> torch.Tensor:
        return self._draw_some(np.random.default_rng((self._seed, step)), self._batch)


def learn(trainer: Trainer[AutoencoderKL], pictures: _Pictures, workers: int) -> None:
    """Train to the end, from the checkpoint on."""
    trainer.resume()
    trainer.start()
    device, losses = pick_device(), list[torch.Tensor]()
    steps = range(trainer.step, trainer.total)
    for pixels in DataLoader(pictures, batch_size=None, sampler=steps, num_workers=workers):
        torch.manual_seed(trainer.step)
        loss = loss_of(trainer.module, pixels.to(device))
        trainer.update(loss)
        losses.append(loss.detach()[None])
        trainer.report(losses)
        if trainer.over:
            break
    trainer.save()


def train(chosen: argparse.Namespace) -> None:
    """Train encoder and decoder, whiten the latents and save the result."""
    vae = build_vae().to(pick_device())
    trainer = Trainer("vae", vae, total=chosen.steps, peak=1.5e-3, warm_up=100, decay_from=0.4, minutes=chosen.minutes)
    learn(trainer, _Pictures(training_pictures, 1, chosen.batch), chosen.workers)
    torch.save(whiten_latents(averaged("vae", build_vae())).state_dict(), _FINISHED)


@torch.no_grad()
def whiten_latents(vae: AutoencoderKL) -> AutoencoderKL:
    """Change the coordinates of the latents, so that all channels have a similar variance.

    The principal axes of the latents become the channels, scaled to a variance near 1 (axes with little variance stay
    smaller). Both are linear, so they go into the encoder's last and the decoder's first weights, and the pictures stay
    the same. The posterior's standard deviation becomes one number a channel, at most 4 % of the channel's own: scaling
    an axis up scaled its noise up, too, and the decoder tolerates far more noise than it needs to.
    """
    rng = np.random.default_rng(6)
    posteriors = [vae.encode(training_pictures(rng)).latent_dist for _ in range(60)]
    means = torch.cat([posterior.mean.movedim(1, -1).flatten(0, -2) for posterior in posteriors])
    spread = torch.cat([posterior.var.movedim(1, -1).flatten(0, -2) for posterior in posteriors]).mean(dim=0)
    variance, axes = torch.linalg.eigh(means.T @ means / len(means))
    turn = torch.diag((variance + 0.03 * variance.mean()).rsqrt()) @ axes.T
    last, first = vae.encoder.conv_out, vae.decoder.conv_in
    channels = len(variance)
    last.weight[:channels] = torch.einsum("ij,jchw->ichw", turn, last.weight[:channels])
    last.bias[:channels] = turn @ last.bias[:channels]
    last.weight[channels:] = 0
    widest = (_POSTERIOR_STD_MAX**2) * variance / (variance + 0.03 * variance.mean())
    last.bias[channels:] = torch.minimum(turn**2 @ spread, widest).log()
    first.weight.copy_(torch.einsum("cjhw,ji->cihw", first.weight, torch.linalg.inv(turn)))
    return vae


def polish(chosen: argparse.Namespace) -> None:
    """Train the decoder of the finished autoencoder alone: the transformer depends on the encoder's latents."""
    vae = trained_vae().train().to(pick_device())
    vae.encoder.requires_grad_(requires_grad=False)
    trainer = Trainer(
        "decoder", vae, total=chosen.polish_steps, peak=6e-4, warm_up=50, decay_from=0.3, minutes=chosen.minutes
    )
    learn(trainer, _Pictures(polishing_pictures, 7, chosen.batch), chosen.workers)
    torch.save(averaged("decoder", build_vae()).state_dict(), _FINISHED)


def trained_vae() -> AutoencoderKL:
    """Load the autoencoder that was trained here or, if there is none, the shipped one."""
    if not _FINISHED.exists():
        return AutoencoderKL.from_pretrained(DEMO_WEIGHTS / "vae").eval()
    vae = build_vae()
    vae.load_state_dict(torch.load(_FINISHED, weights_only=True))
    return vae.eval()


@torch.no_grad()
def gates(vae: AutoencoderKL, pictures_per_size: int) -> bool:
    """Print both gates of the autoencoder. Returns True if they are reached."""
    rng = np.random.default_rng(2)
    spreads: list[tuple[float, float]] = []
    kept = seen = 0
    print("| size | shapes kept by the round trip |\n|---|---|")
    for size in (size for group in OFFERED.values() for size in group):
        right = count = 0
        while count < pictures_per_size:
            scenes = [_SCENES[i] for i in rng.integers(len(_SCENES), size=4)]
            pixels = to_tensor([draw(scene, *size, rng) for scene in scenes]).to(vae.device)
            posterior = vae.encode(pixels).latent_dist
            spreads.append((posterior.std.mean().item(), posterior.mean.std().item()))
            drawn = vae.decode(posterior.sample()).sample
            right += sum(
                read(to_picture(one)).shape == scene.shape for one, scene in zip(drawn.cpu(), scenes, strict=True)
            )
            count += len(scenes)
        print(f"| {size[0]} × {size[1]} | {right} of {count} |", flush=True)
        kept, seen = kept + right, seen + count
    ratio = sum(noise for noise, _ in spreads) / sum(signal for _, signal in spreads)
    print(f"\nshapes kept: {kept} of {seen} = {kept / seen:.1%} (goal ≥ 99.5 %)")
    print(f"posterior std ÷ latents' std: {ratio:.2%} (goal ≤ 5 %)")
    return kept / seen >= 0.995 and ratio <= 0.05


def main() -> None:
    """Train as the options say, then check the gates."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=5000)
    options.add_argument("--pictures", type=int, default=100, help="pictures per size for the gates")
    options.add_argument("--polish-steps", type=int, default=600, help="steps for the decoder alone, afterwards")
    options.add_argument("--polish-only", action="store_true", help="only train the decoder, the encoder as it is")
    options.add_argument("--gates-only", action="store_true", help="only check the trained weights")
    options.add_argument("--minutes", type=float, help="end each training by then; the learning rate falls in time")
    options.add_argument("--batch", type=int, default=1, help="how many times 180,000 pixels a step; a GPU: 16")
    options.add_argument("--workers", type=int, default=max(0, (os.cpu_count() or 1) - 2), help="who draw")
    chosen = options.parse_args()
    if not chosen.gates_only:
        if not chosen.polish_only:
            train(chosen)
        polish(chosen)
    if not gates(trained_vae().to(pick_device()), chosen.pictures):
        raise SystemExit("The autoencoder misses a gate: train on with more steps.")


if __name__ == "__main__":
    main()
