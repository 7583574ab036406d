"""What a unit of work costs in seconds on this device: measured once, corrected while running. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zimage_engine.scheduling.tokens import TOKEN_MULTIPLE
from zimage_engine.types import Unit

_LEARNING_RATE = 0.1
_CORRECTION_MAX = 20.0


@dataclass(slots=True)
class CostModel:
    """Predicts the seconds of a unit. A forward takes ``base + samples · tokens · (linear + square · tokens)``.

    ``base`` is the part of a forward that does not depend on its size; batching saves it. Encoding a text takes
    ``encode_text + encode_token · tokens``, and decoding ``pixel`` for each pixel. ``budget`` is the number of tokens,
    over all samples of a batch, beyond which a larger batch makes no more pictures a second. ``correction`` holds the
    learned factor of each unit.
    """

    base: float = 0.01
    linear: float = 1e-4
    square: float = 0.0
    encode_text: float = 0.015
    encode_token: float = 1.5e-4
    pixel: float = 1.5e-6
    budget: int = 0
    correction: dict[Unit, float] = field(default_factory=dict)

    def step(self, tokens: int, samples: int = 1) -> float:
        """Return the seconds of one forward of ``samples``, each of ``tokens`` image and caption tokens."""
        seconds = self.base + samples * tokens * (self.linear + self.square * tokens)
        return seconds * self.correction.get(Unit.DENOISE, 1.0)

    def encode(self, texts: Sequence[int] = (TOKEN_MULTIPLE,)) -> float:
        """Return the seconds of encoding texts of so many tokens, one after another; by default a short one."""
        seconds = self.encode_text * len(texts) + self.encode_token * sum(texts)
        return seconds * self.correction.get(Unit.ENCODE_TEXT, 1.0)

    def encode_image(self, pixels: int) -> float:
        """Return the seconds of encoding an image: the encoder does about half of the decoder's work."""
        return 0.5 * self.pixel * pixels * self.correction.get(Unit.ENCODE_IMAGE, 1.0)

    def decode(self, pixels: int) -> float:
        """Return the seconds of decoding an image."""
        return self.pixel * pixels * self.correction.get(Unit.DECODE, 1.0)

    def observe(self, unit: Unit, predicted: float, actual: float) -> None:
        """Correct the model by a unit that took ``actual`` seconds.

        The correction is a moving geometric mean with a small rate and a bound, so that no outlier dominates it.
        """
        if predicted <= 0 or actual <= 0:
            return
        corrected = self.correction.get(unit, 1.0) * (actual / predicted) ** _LEARNING_RATE
        self.correction[unit] = min(_CORRECTION_MAX, max(1 / _CORRECTION_MAX, corrected))
