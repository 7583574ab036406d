"""What a unit of work costs in seconds on this device: measured once, corrected while running. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from zimage_engine.types import Unit

_LEARNING = 0.1
_LARGEST_CORRECTION = 20.0


@dataclass(slots=True)
class CostModel:
    """Seconds by unit. A forward takes ``base + samples · tokens · (linear + square · tokens)``.

    ``base`` is what a forward costs however small it is; batching saves it. ``budget`` is the number of tokens, over
    all samples of a batch, beyond which a larger batch brings no more pictures a second.
    """

    base: float = 0.01
    linear: float = 1e-4
    square: float = 0.0
    encode_text: float = 0.02
    pixel: float = 1.5e-6
    budget: int = 0
    correction: dict[Unit, float] = field(default_factory=dict)

    def step(self, tokens: int, samples: int = 1) -> float:
        """One forward of ``samples``, each of ``tokens`` image and caption tokens."""
        seconds = self.base + samples * tokens * (self.linear + self.square * tokens)
        return seconds * self.correction.get(Unit.DENOISE, 1.0)

    def encode(self, prompts: int = 1) -> float:
        return self.encode_text * prompts * self.correction.get(Unit.ENCODE_TEXT, 1.0)

    def encode_image(self, pixels: int) -> float:
        """The encoder does about half of the decoder's work."""
        return 0.5 * self.pixel * pixels * self.correction.get(Unit.ENCODE_IMAGE, 1.0)

    def decode(self, pixels: int) -> float:
        return self.pixel * pixels * self.correction.get(Unit.DECODE, 1.0)

    def observe(self, unit: Unit, predicted: float, actual: float) -> None:
        """Learn from a unit that took ``actual`` seconds: a tenth of the way, so that no outlier rules."""
        if predicted <= 0 or actual <= 0:
            return
        corrected = self.correction.get(unit, 1.0) * (actual / predicted) ** _LEARNING
        self.correction[unit] = min(_LARGEST_CORRECTION, max(1 / _LARGEST_CORRECTION, corrected))
