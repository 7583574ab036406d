"""What a job costs, in integers of 1/100 credit: 100 is one image of the profile's base size at its default steps."""

from __future__ import annotations

import math
from fractions import Fraction

from bot.requests.spec import ImageSpec
from zimage_engine.profiles import ModelProfile

_MIN = 5


def image_cost(spec: ImageSpec, profile: ModelProfile) -> int:
    """One image's credits: (pixels ÷ base pixels) × (real steps ÷ default steps) × (2 with guidance), at least 0.05.

    Rounded up to 1/100, so that no work is free.
    """
    share = Fraction(spec.size.pixels, profile.base_size.pixels) * Fraction(spec.real_steps, int(profile.steps.default))
    passes = 2 if spec.guidance_scale > 0 else 1
    return max(_MIN, math.ceil(share * passes * 100))


def job_cost(spec: ImageSpec, count: int, profile: ModelProfile) -> int:
    return count * image_cost(spec, profile)


def format_credits(amount: int) -> str:
    """``1250`` as "12.5", ``100`` as "1"."""
    return f"{amount / 100:.2f}".rstrip("0").rstrip(".")
