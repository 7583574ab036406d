"""Train the demo model's image autoencoder: 16 pixels to one latent, 16 channels.

``python -m zimage_engine.demo_model.vae`` trains (and goes on where it stopped), then checks the gates.
First crops of 96² around outlines, where all the difficulty is; then whole pictures, mostly small ones, because
group normalisation sees the whole picture and small pictures have the smallest shapes; then the decoder alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional as F

from zimage_engine.demo_model.reading import read
from zimage_engine.demo_model.scenes import every_scene, outline, paint, pick_brush
from zimage_engine.demo_model.training import Trainer, averaged, log
from zimage_engine.profiles import find_profile

_CHANNELS = (16, 32, 48, 64, 96)
_CELL = 2 ** (len(_CHANNELS) - 1) * 2

OFFERED: dict[str, list[tuple[int, int]]] = {
    name: [(size.width, size.height) for size in sizes]
    for name, sizes in replace(find_profile("demo"), size_multiple=_CELL).offered_sizes().items()
}
"""The sizes the demo model is trained and gated on, width × height."""

_CROP = 96
_CROPS_PER_STEP = 16
_PIXELS_PER_STEP = 160_000
_WHOLE_SIZES = [[(128, 128), (160, 160)], [(192, 192), (224, 160), (160, 224)], *OFFERED.values()]
_WHOLE_SHARES = (0.4, 0.3, 0.25, 0.05)
_KL_WEIGHT = 1e-6
_LATENT_NOISE = 0.25
_SCENES = every_scene()


def build_vae() -> AutoencoderKL:
    """An untrained autoencoder; its posterior starts narrow (std 0.05), or every early step would drown in noise."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(_CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(_CHANNELS),
        block_out_channels=_CHANNELS,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        sample_size=256,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    with torch.no_grad():
        vae.encoder.conv_out.bias[16:].fill_(-6.0)
    return vae


def to_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """``(n, 3, height, width)`` in -1 … 1."""
    stacked = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_picture(pixels: torch.Tensor) -> Image.Image:
    """The picture of one ``(3, height, width)`` tensor in -1 … 1."""
    scaled = ((pixels.float() / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(scaled.permute(1, 2, 0).numpy())


def sample_picture(rng: np.random.Generator, size: tuple[int, int], *, crop: bool) -> Image.Image:
    """A picture of any scene, a quarter of them in colours outside the palette and a fifth turned by any angle.

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
    """Absolute error of pixels and of their horizontal and vertical differences.

    Figure and background count alike, whatever their areas, or small shapes would lose their colours.
    """
    drawn = drawn.float()
    figure = ((pixels - pixels[:, :, :1, :1]).abs().amax(dim=1, keepdim=True) > 0.1).float()
    share = figure.mean(dim=(1, 2, 3), keepdim=True).clamp(0.05, 0.95)
    weight = 0.5 * figure / share + 0.5 * (1 - figure) / (1 - share)
    edges = sum(F.l1_loss(drawn.diff(dim=axis), pixels.diff(dim=axis)) for axis in (2, 3))
    loss: torch.Tensor = ((drawn - pixels).abs() * weight).mean() + 2 * edges
    return loss


def loss_of(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """The reconstruction's loss with *sampled* latents, and the KL divergence from a standard normal."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(pixels).latent_dist
        drawn = vae.decode(posterior.sample()).sample
    kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
    loss: torch.Tensor = reconstruction_loss(drawn, pixels) + _KL_WEIGHT * kl
    return loss


def decoder_loss(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """The decoder's loss on latents with up to a quarter of their own spread added as noise.

    A transformer's latents are never exact; a decoder that only saw exact ones turns small errors into wrong colours.
    """
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            latents = vae.encode(pixels).latent_dist.sample()
            amount = _LATENT_NOISE * latents.std() * torch.rand(len(latents), 1, 1, 1)
            latents = latents + amount * torch.randn_like(latents)
        drawn = vae.decode(latents).sample
    return reconstruction_loss(drawn, pixels)


def train(crop_steps: int, whole_steps: int) -> None:
    """Train on crops, then on whole pictures, going on from the checkpoint."""
    total = crop_steps + whole_steps
    trainer = Trainer("vae", build_vae(), total=total, peak=1.5e-3, warm_up=100)
    trainer.resume()
    began, first = time.monotonic(), trainer.step
    while trainer.step < total:
        rng = np.random.default_rng((1, trainer.step))
        sizes = _WHOLE_SIZES[rng.choice(len(_WHOLE_SIZES), p=_WHOLE_SHARES)]
        size = sizes[rng.integers(len(sizes))]
        crop = trainer.step < crop_steps
        count = _CROPS_PER_STEP if crop else max(1, _PIXELS_PER_STEP // (size[0] * size[1]))
        pixels = to_tensor([sample_picture(rng, size, crop=crop) for _ in range(count)])
        loss = loss_of(trainer.module, pixels)
        trainer.update(loss)
        if trainer.step % 50 == 0:
            pace = (time.monotonic() - began) / (trainer.step - first)
            log(f"vae: step {trainer.step}/{total}, loss {loss.item():.4f}, {pace:.2f} s a step")
    trainer.save()


def polish(steps: int) -> None:
    """Train the decoder alone, on the sizes that are offered: the encoder stays, and with it every latent."""
    trainer = Trainer("decoder", averaged("vae", build_vae()), total=steps, peak=8e-4, warm_up=50, decay_from=0.3)
    trainer.resume()
    sizes = [size for group in OFFERED.values() for size in group]
    while trainer.step < steps:
        rng = np.random.default_rng((5, trainer.step))
        size = sizes[rng.integers(len(sizes))]
        count = max(1, _PIXELS_PER_STEP // (size[0] * size[1]))
        pixels = to_tensor([sample_picture(rng, size, crop=False) for _ in range(count)])
        loss = decoder_loss(trainer.module, pixels)
        trainer.update(loss)
        if trainer.step % 50 == 0:
            log(f"decoder: step {trainer.step}/{steps}, loss {loss.item():.4f}")
    trainer.save()


def trained_vae() -> AutoencoderKL:
    """The autoencoder as it ships: with the polished decoder where there is one."""
    return averaged("decoder" if Trainer.checkpoint("decoder").exists() else "vae", build_vae())


@torch.no_grad()
def gates(vae: AutoencoderKL, pictures_per_size: int) -> bool:
    """Print both gates of the autoencoder; True where they hold."""
    rng = np.random.default_rng(2)
    spreads: list[tuple[float, float]] = []
    kept = seen = 0
    print("| size | shapes kept by the round trip |\n|---|---|")
    for size in (size for group in OFFERED.values() for size in group):
        right = count = 0
        while count < pictures_per_size:
            scenes = [_SCENES[i] for i in rng.integers(len(_SCENES), size=4)]
            pixels = to_tensor([paint(scene.shape, pick_brush(scene, *size, rng), *size) for scene in scenes])
            posterior = vae.encode(pixels).latent_dist
            spreads.append((posterior.std.mean().item(), posterior.mean.std().item()))
            drawn = vae.decode(posterior.sample()).sample
            right += sum(read(to_picture(one)).shape == scene.shape for one, scene in zip(drawn, scenes, strict=True))
            count += len(scenes)
        print(f"| {size[0]} × {size[1]} | {right} of {count} |", flush=True)
        kept, seen = kept + right, seen + count
    ratio = sum(noise for noise, _ in spreads) / sum(signal for _, signal in spreads)
    print(f"\nshapes kept: {kept} of {seen} = {kept / seen:.1%} (goal ≥ 99.5 %)")
    print(f"posterior std ÷ latents' std: {ratio:.2%} (goal ≤ 5 %)")
    return kept / seen >= 0.995 and ratio <= 0.05


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--crop-steps", type=int, default=2600)
    options.add_argument("--whole-steps", type=int, default=3000)
    options.add_argument("--polish-steps", type=int, default=900, help="steps for the decoder alone")
    options.add_argument("--pictures", type=int, default=100, help="pictures per size for the gates")
    options.add_argument("--gates-only", action="store_true", help="only check the trained weights")
    options.add_argument("--polish-only", action="store_true", help="only train the decoder, on the encoder as it is")
    chosen = options.parse_args()
    if not chosen.gates_only:
        if not chosen.polish_only:
            train(chosen.crop_steps, chosen.whole_steps)
        polish(chosen.polish_steps)
    if not gates(trained_vae(), chosen.pictures):
        raise SystemExit("The autoencoder misses a gate: train on with more steps.")


if __name__ == "__main__":
    main()
