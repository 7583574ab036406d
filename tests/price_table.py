"""The table of prices in docs/limits.md: ``python -m tests.price_table`` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from bot.requests.pricing import ImageWork, format_credits
from zimage_engine.catalog import find_profile
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.scheduling.tokens import PROMPT_TOKENS_MAX

_PROFILES = ("demo", "turbo", "base")
_SIZE_MULTIPLES = {"demo": 32, "turbo": 16, "base": 16}


def price_table() -> str:
    """Return the lines of the table."""
    profiles = [replace(find_profile(name), size_multiple=_SIZE_MULTIPLES[name]) for name in _PROFILES]
    heads = [f"{each.title}, {each.base_side}², {each.steps.default:g} steps" for each in profiles]
    lines = [f"| request | {' | '.join(heads)} |", "|---|" + "---:|" * len(profiles)]
    for name, change in _ROWS.items():
        costs = [format_credits(change(each, _usual(each))) for each in profiles]
        lines.append(f"| {name} | {' | '.join(costs)} |")
    return "\n".join(lines)


def _usual(profile: ModelProfile) -> ImageWork:
    passes = 2 if profile.guidance.default > 0 else 1
    return ImageWork(profile.base_size, int(profile.steps.default), passes=passes)


def _edit(profile: ModelProfile, usual: ImageWork, scale: float, strength: float) -> int:
    side = int(profile.base_side * scale)
    steps = usual.steps - int(usual.steps - usual.steps * strength)  # as ImageSpec.steps_run() has it
    return replace(usual, size=Size(side, side), steps=steps, edit=True).price(profile)


_ROWS: dict[str, Callable[[ModelProfile, ImageWork], int]] = {
    "one picture of the usual size, at the usual steps": lambda profile, usual: usual.price(profile),
    "the same without guidance": lambda profile, usual: replace(usual, passes=1).price(profile),
    "four of them": lambda profile, usual: 4 * usual.price(profile),
    "half the steps": lambda profile, usual: replace(usual, steps=usual.steps // 2).price(profile),
    "size large": lambda profile, usual: replace(usual, size=profile.size_for(Fraction(1), "large")).price(profile),
    "a quarter of the width and height": lambda profile, usual: replace(
        usual, size=Size(profile.base_side // 4, profile.base_side // 4)
    ).price(profile),
    "a prompt of 512 tokens or more": lambda profile, usual: replace(usual, tokens=PROMPT_TOKENS_MAX).price(profile),
    "an edit at strength 0.6": lambda profile, usual: _edit(profile, usual, 1, 0.6),
    "twice the width and height at strength 0.3 (Upscale)": lambda profile, usual: _edit(profile, usual, 2, 0.3),
}

if __name__ == "__main__":
    print(price_table())  # noqa: T201
