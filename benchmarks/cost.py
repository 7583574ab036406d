"""What 1,000 pictures of 1024² in eight steps take on a card: time and energy, from the roofline and measured shares.

    python -m benchmarks.cost

The arithmetic is that of the published dimensions (:mod:`zimage_engine.work`); the peaks are the makers' for dense
bfloat16. The shares of the peak are those that an H100 reached with the full-size model (docs/engine.md, "The
roofline"); for the other cards they are assumed to be the same. The energy takes the card's whole board power.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from zimage_engine.catalog import find_profile
from zimage_engine.scheduling.tokens import padded

_CAPTION_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Card:
    """A card: ``peak`` in TFLOP/s and ``watts`` of its board, both as its maker names them."""

    name: str
    peak: float
    watts: int


CARDS = (Card("H100 SXM", 989, 700), Card("RTX 4090", 165, 450), Card("RTX 3090", 71, 350))
STEP_SHARES = {"eager": 366 / 989, "compiled": 569 / 989}
"""The part of the maker's peak that a step of 1024² reached on the H100."""
DECODE_SHARE = 115 / 989


def picture_seconds(card: Card, step_share: float) -> float:
    """Return the seconds of one picture of the base size at the default steps with Z-Image-Turbo."""
    profile = find_profile("turbo")
    work, pixels = profile.dimensions, profile.base_size.pixels
    step = work.denoise(padded(work.image_tokens(pixels)), _CAPTION_TOKENS)
    steps = int(profile.steps.default) * step + work.encode_text(_CAPTION_TOKENS)
    return (steps / step_share + work.decode(pixels) / DECODE_SHARE) / (card.peak * 1e12)


def rows() -> list[str]:
    """Return the rows of the table: seconds for one picture, hours and kWh for 1,000, eager and compiled."""
    found = []
    for card in CARDS:
        cells = [card.name]
        for share in STEP_SHARES.values():
            seconds = picture_seconds(card, share)
            cells += [f"{seconds:.2g} s", f"{1000 * seconds / 3600:.2f} h", f"{seconds * card.watts / 3600:.2f} kWh"]
        found.append(f"| {' | '.join(cells)} |")
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rows(), ""]))
