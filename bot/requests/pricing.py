"""Prices and charges, in integers of 1/100 credit.

100 is one image of the default model, at its base size and default steps, without guidance and with a prompt of up to
128 tokens. Every other price, also that of other models, is in proportion to the work on the device, which
:mod:`zimage_engine.work` computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from bot.requests.models import Models
from bot.requests.spec import ImageSpec
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.scheduling.tokens import PROMPT_TOKENS_MAX, instruction_tokens, padded

PROMPT_TOKENS_INCLUDED = 128
"""A prompt of up to so many tokens costs the same."""
_ASK_ABOVE = 400
_ASK_ABOUT_HALF_FROM = 200


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """How one image of a job ended. ``units_done`` counts for cancelled ones alone.

    It is how many of the image's units on the device were done: the texts, an edit's original, each step.
    """

    state: Literal["rendered", "cancelled", "failed"]
    units_done: int = 0


@dataclass(frozen=True, slots=True)
class ImageWork:
    """What the price of an image depends on. ``passes`` is 2 with guidance, else 1; ``tokens`` are the prompt's.

    With guidance ``tokens`` are those of the longer one of prompt and negative prompt. ``steps`` are those that run.
    """

    size: Size
    steps: int
    tokens: int = 0
    passes: int = 1
    edit: bool = False

    def units(self, profile: ModelProfile) -> list[int]:
        """Return the FLOP of the image's units on the device, in order, with the model's padding.

        Encoding an image is half the work of decoding one. SigLIP's view of the original of an edit by instruction is
        left out: its encoder does less than a hundredth of a step.
        """
        dimensions, pixels = profile.dimensions, self.size.pixels
        caption = max(self.tokens, PROMPT_TOKENS_INCLUDED)
        image = dimensions.image_tokens(pixels)
        joined = padded(caption)
        if self.edit and profile.image_patches:
            joined += instruction_tokens(image, profile.image_patches)
        text = dimensions.encode_text(min(padded(caption + 1), PROMPT_TOKENS_MAX))
        step, decode = dimensions.denoise(padded(image), joined), dimensions.decode(pixels)
        original = [decode // 2] if self.edit else []
        return [self.passes * text, *original, *[self.passes * step] * self.steps, decode]

    def price(self, profile: ModelProfile, default: ModelProfile) -> int:
        """Return the price of one image in 1/100 credit, rounded up. ``default`` is the bot's default model."""
        base = ImageWork(default.base_size, int(default.steps.default))
        return -(-100 * sum(self.units(profile)) // sum(base.units(default)))  # in integers: exact


class Prices:
    """What pictures cost with the bot's models. ``prompts`` counts tokens: the models have one tokenizer."""

    def __init__(self, models: Models, prompts: PromptTokens) -> None:
        self.models = models
        self._prompts = prompts

    def quote(self, spec: ImageSpec, count: int, *, edit: bool) -> int:
        """Return the price of ``count`` images in 1/100 credit; ``edit`` if they start from an image.

        Raises :class:`ModelGone`.
        """
        profile = self.models.of_spec(spec)
        return count * self._work(spec, edit=edit).price(profile, self.models.default)

    def charge(self, spec: ImageSpec, price: int, outcome: ImageOutcome) -> int:
        """Return what an image of a job is charged in 1/100 credit, if ``price`` was reserved for it.

        A rendered one costs its price, a cancelled one the share of it that is the work of the units that were done,
        rounded up; a failed one costs nothing.
        """
        match outcome.state:
            case "rendered":
                return price
            case "cancelled":
                # Of a model that is gone nothing was done since the start; the default's shares are as good as any.
                profile = self.models.titled_or_default(spec.model)
                units = self._work(spec, edit=bool(spec.original)).units(profile)
                return -(-price * sum(units[: outcome.units_done]) // sum(units))
            case "failed":
                return 0

    def _work(self, spec: ImageSpec, *, edit: bool) -> ImageWork:
        guided = spec.guidance_scale > 0
        texts = (spec.prompt, spec.negative_prompt) if guided else (spec.prompt,)
        return ImageWork(
            spec.size,
            spec.steps_run(edit=edit),
            max(self._prompts.count(text) for text in texts),
            2 if guided else 1,
            edit,
        )


def price_rule(models: Models) -> str:
    """Return what pictures cost with the usual model, and how other models differ from it, in one line."""
    profile, default = models.usual, models.default
    usual = usual_work(profile)
    costs = f"{credits_text(usual.price(profile, default))} = one picture at the usual size and steps"
    if usual.passes == 2:
        halved = format_credits(replace(usual, passes=1).price(profile, default))
        costs += f", {halved} with guidance 0"
    others = [f"Twice the steps: {format_credits(replace(usual, steps=2 * usual.steps).price(profile, default))}"]
    if "large" in profile.scales:  # a server may not allow it
        larger = replace(usual, size=profile.size_for(Fraction(1), "large"))
        others.append(f"size large: {format_credits(larger.price(profile, default))}")
    return f"{costs}. {', '.join(others)}."


def prices_text(models: Models, allowed: Sequence[str]) -> str:
    """Return what a picture costs with each of the ``allowed`` models, in one line; "" if there is no choice."""
    shown = [profile for profile in models.profiles if profile.name in allowed]
    if len(shown) < 2:
        return ""
    prices = [
        f"{profile.name} {format_credits(usual_work(profile).price(profile, models.default))}" for profile in shown
    ]
    return f"Credits of a picture at the usual size and steps: {', '.join(prices)}."


def usual_work(profile: ModelProfile) -> ImageWork:
    """Return the work of a picture for which nothing but a prompt is given."""
    return ImageWork(profile.base_size, int(profile.steps.default), passes=2 if profile.guidance.default > 0 else 1)


def cheapest(models: Models) -> int:
    """Return the price in 1/100 credit below which no picture lies: one step of the smallest size."""
    sides = [(profile, profile.size_multiple) for profile in models.profiles]
    return min(ImageWork(Size(side, side), 1).price(profile, models.default) for profile, side in sides)


def needs_confirmation(price: int, left: int | None) -> bool:
    """Return whether to ask the member before they pay: above 4 credits, or from 2 if that is over half of ``left``.

    ``left`` are the credits that they can still spend, in 1/100; None if they are unlimited.
    """
    return price > _ASK_ABOVE or (price >= _ASK_ABOUT_HALF_FROM and left is not None and 2 * price > left)


def format_credits(amount: int, *, grouped: bool = False, fixed: bool = False) -> str:
    """Return 1/100 credits as text: ``123450`` as "1234.5", ``100`` as "1".

    ``grouped`` puts commas between thousands ("1,234.5"), ``fixed`` keeps both decimals ("1234.50").
    """
    number = f"{amount / 100:,.2f}" if grouped else f"{amount / 100:.2f}"
    return number if fixed else number.rstrip("0").rstrip(".")


def credits_text(amount: int, *, grouped: bool = False) -> str:
    """Return 1/100 credits with their noun: "1 credit", "12.5 credits"."""
    return f"{format_credits(amount, grouped=grouped)} {'credit' if amount == 100 else 'credits'}"
