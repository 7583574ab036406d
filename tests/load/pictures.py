"""Pictures of which some are easy and some are hard to compress."""

from __future__ import annotations

import numpy as np
from PIL import Image


def textured(side: int) -> Image.Image:
    """Return a square picture as rough as a photo of grass: noise whose amplitude falls with the frequency.

    A generated picture compresses better.
    """
    chance = np.random.default_rng(1)
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    radius[0, 0] = 1.0
    shared = chance.standard_normal((side, side))
    planes = []
    for _ in range(3):
        spectrum = np.fft.fft2(0.8 * shared + 0.2 * chance.standard_normal((side, side))) / radius**1.2
        plane = np.fft.ifft2(spectrum).real
        plane = (plane - plane.mean()) / plane.std() * 50 + 128 + chance.standard_normal(plane.shape)
        planes.append(np.clip(plane, 0, 255).astype(np.uint8))
    return Image.fromarray(np.stack(planes, -1))
