"""The table of prices in docs/limits.md: ``python -m tests.price_table`` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from bot.requests.pricing import ImageWork, format_credits, usual_work
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
        costs = [format_credits(change(each, usual_work(each))) for each in profiles]
        lines.append(f"| {name} | {' | '.join(costs)} |")
    return "\n".join(lines)


def across_models() -> str:
    """Return the sentence with the price of one model's pictures where another one is the default."""
    default, other = (replace(find_profile(name), size_multiple=16) for name in ("turbo", "base"))
    price, unguided = usual_work(other), replace(usual_work(other), passes=1)
    return (
        "With `PROFILES=turbo,base` a picture of `base` at its usual size and steps costs "
        f"{format_credits(price.price(other, default))}, and {format_credits(unguided.price(other, default))} without "
        "guidance"
    )


def _edit(profile: ModelProfile, usual: ImageWork, scale: float, strength: float) -> int:
    side = int(profile.base_side * scale)
    steps = usual.steps - int(usual.steps - usual.steps * strength)  # as ImageSpec.steps_run() has it
    return replace(usual, size=Size(side, side), steps=steps, edit=True).price(profile, profile)


_ROWS: dict[str, Callable[[ModelProfile, ImageWork], int]] = {
    "one picture of the usual size, at the usual steps": lambda profile, usual: usual.price(profile, profile),
    "the same without guidance": lambda profile, usual: replace(usual, passes=1).price(profile, profile),
    "four of them": lambda profile, usual: 4 * usual.price(profile, profile),
    "half the steps": lambda profile, usual: replace(usual, steps=usual.steps // 2).price(profile, profile),
    "size large": lambda profile, usual: replace(usual, size=profile.size_for(Fraction(1), "large")).price(
        profile, profile
    ),
    "a quarter of the width and height": lambda profile, usual: replace(
        usual, size=Size(profile.base_side // 4, profile.base_side // 4)
    ).price(profile, profile),
    "a prompt of 512 tokens or more": lambda profile, usual: replace(usual, tokens=PROMPT_TOKENS_MAX).price(
        profile, profile
    ),
    "an edit at strength 0.6": lambda profile, usual: _edit(profile, usual, 1, 0.6),
    "twice the width and height at strength 0.3 (Upscale)": lambda profile, usual: _edit(profile, usual, 2, 0.3),
}

if __name__ == "__main__":
    print(price_table())  # noqa: T201
