"""Prices and charges, in integers of 1/100 credit.

100 is one image of the profile's base size at its default steps without guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from bot.requests.spec import ImageSpec
from zimage_engine.profiles import ModelProfile

IMAGE_MIN = 5
"""The price of the cheapest image."""
_ASK_ABOVE = 400
_ASK_ABOUT_HALF_FROM = 200


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """How one image of a job ended. ``steps_done``, from 0 to the image's steps, counts for cancelled ones alone."""

    state: Literal["rendered", "cancelled", "failed"]
    steps_done: int = 0


def quote(spec: ImageSpec, count: int, profile: ModelProfile, *, edit: bool) -> int:
    """Return the price of ``count`` images in 1/100 credit; ``edit`` if they start from an image.

    One image costs (pixels ÷ base pixels) × (steps run ÷ default steps) × (2 with guidance, else 1) credits, rounded
    up to 1/100 and at least 0.05.
    """
    passes = 2 if spec.guidance_scale > 0 else 1
    work = spec.size.pixels * spec.steps_run(edit=edit) * passes
    of_one_credit = profile.base_size.pixels * int(profile.steps.default)
    rounded_up = -(-100 * work // of_one_credit)  # in integers: exact, and this runs for every request
    return count * max(IMAGE_MIN, rounded_up)


def price_rule(profile: ModelProfile) -> str:
    """Return what pictures cost with a profile, in one line."""
    what = "1 credit = one picture at the usual size and steps."
    if profile.guidance.default > 0:  # which doubles the work of each step
        what = "2 credits = one picture at the usual size and steps; guidance 0 halves that."
    return f"{what} Double the pixels or the steps, about double the price."


def needs_confirmation(price: int, left: int | None) -> bool:
    """Return whether to ask the member before they pay: above 4 credits, or from 2 if that is over half of ``left``.

    ``left`` are the credits that they can still spend, in 1/100; None if they are unlimited.
    """
    return price > _ASK_ABOVE or (price >= _ASK_ABOUT_HALF_FROM and left is not None and 2 * price > left)


def charge(outcomes: Sequence[ImageOutcome], *, price: int, steps: int) -> int:
    """Return what a job is charged in 1/100 credit: the sum over its images, of which there is at least one.

    ``price`` is what :func:`quote` said for all of them, ``steps`` how many each was to run. A rendered image costs
    its share of the price, a cancelled one that of its steps, rounded half to even; a failed one costs nothing.
    """
    image_price = price // len(outcomes)
    return sum(_image_charge(outcome, image_price, steps) for outcome in outcomes)


def _image_charge(outcome: ImageOutcome, price: int, steps: int) -> int:
    match outcome.state:
        case "rendered":
            return price
        case "cancelled":
            return round(Fraction(price * outcome.steps_done, steps))
        case "failed":
            return 0


def format_credits(amount: int, *, grouped: bool = False, fixed: bool = False) -> str:
    """Return 1/100 credits as text: ``123450`` as "1234.5", ``100`` as "1".

    ``grouped`` puts commas between thousands ("1,234.5"), ``fixed`` keeps both decimals ("1234.50").
    """
    number = f"{amount / 100:,.2f}" if grouped else f"{amount / 100:.2f}"
    return number if fixed else number.rstrip("0").rstrip(".")


def credits_text(amount: int, *, grouped: bool = False) -> str:
    """Return 1/100 credits with their noun: "1 credit", "12.5 credits"."""
    return f"{format_credits(amount, grouped=grouped)} {'credit' if amount == 100 else 'credits'}"
