"""Prices, when a price is asked about, and what is charged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.pricing import ImageOutcome, charge, format_credits, needs_confirmation, quote
from bot.requests.spec import ImageOptions, ImageSpec, build_spec
from zimage_engine.catalog import find_profile

DEMO = replace(find_profile("demo"), size_multiple=32)
BASE = replace(find_profile("base"), size_multiple=16)
SPEC = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "", "Z-Image demo")
ENDED = ImageOutcome("rendered")
FAILED = ImageOutcome("failed")

prices = st.integers(5, 100_000)
steps = st.integers(1, 100)
specs = st.builds(
    replace,
    st.just(SPEC),
    width=st.integers(8, 128).map(lambda number: 16 * number),
    height=st.integers(8, 128).map(lambda number: 16 * number),
    steps=steps,
    strength=st.floats(0.05, 1),
    guidance_scale=st.sampled_from((0.0, 4.0)),
)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[int, int, list[ImageOutcome]]:
    """One image's price and steps, and how each image of a job ended."""
    total = draw(steps)
    cancelled = st.builds(ImageOutcome, st.just("cancelled"), st.integers(0, total))
    outcomes = st.lists(st.one_of(st.just(ENDED), st.just(FAILED), cancelled), min_size=1, max_size=8)
    return draw(prices), total, draw(outcomes)


@pytest.mark.parametrize(
    ("changes", "count", "edit", "price"),
    [
        ({}, 1, False, 100),
        ({}, 4, False, 400),
        ({"width": 512, "height": 512}, 1, False, 400),
        ({"steps": 9}, 4, False, 452),  # rounded up for each image: 4 times 1.125
        ({"steps": 1}, 1, False, 13),
        ({"width": 64, "height": 64, "steps": 1}, 1, False, 5),
        ({"guidance_scale": 4.0}, 1, False, 200),
        ({"steps": 20, "strength": 0.9}, 4, True, 900),
        ({"steps": 20, "strength": 0.9}, 1, False, 250),
    ],
)
def test_prices(changes: dict, count: int, edit: bool, price: int) -> None:  # noqa: FBT001
    assert quote(replace(SPEC, **changes), count, DEMO, edit=edit) == price


def test_cost_by_size_steps_and_guidance() -> None:
    def cost(profile, count: int = 1, **given: object) -> int:
        spec, _ = build_spec(ImageOptions("x", **given), profile, max_count=4)  # type: ignore[arg-type]
        return quote(spec, count, profile, edit=False)

    assert cost(DEMO) == 100
    assert cost(DEMO, size="large") == 400
    assert cost(DEMO, steps=4) == 50
    assert cost(DEMO, size="32x32") == 5
    assert cost(BASE) == 200
    assert cost(BASE, guidance=0.0) == 100
    assert cost(DEMO, 3) == 300


@given(specs, st.integers(1, 8))
def test_a_job_costs_as_much_as_its_images_one_by_one(spec: ImageSpec, count: int) -> None:
    for edit in (False, True):
        assert quote(spec, count, BASE, edit=edit) == count * quote(spec, 1, BASE, edit=edit)


@given(specs)
def test_an_edit_costs_what_it_runs_and_never_more_than_a_new_image(spec: ImageSpec) -> None:
    assert 5 <= quote(spec, 1, BASE, edit=True) <= quote(spec, 1, BASE, edit=False)
    kept = replace(spec, original="a" * 32)
    assert quote(kept, 1, BASE, edit=True) == quote(spec, 1, BASE, edit=True), "before and after the image is stored"
    assert kept.steps_run(edit=True) == kept.real_steps


@given(jobs())
def test_a_charge_is_never_above_the_reservation(job: tuple[int, int, list[ImageOutcome]]) -> None:
    image_price, total, outcomes = job
    reserved = image_price * len(outcomes)
    assert 0 <= charge(outcomes, price=reserved, steps=total) <= reserved


@given(jobs())
def test_a_job_is_charged_the_sum_of_its_images(job: tuple[int, int, list[ImageOutcome]]) -> None:
    image_price, total, outcomes = job
    parts = [charge([outcome], price=image_price, steps=total) for outcome in outcomes]
    reserved = image_price * len(outcomes)
    assert charge(outcomes, price=reserved, steps=total) == sum(parts)
    assert charge(outcomes[::-1], price=reserved, steps=total) == sum(parts)


@given(prices, steps)
def test_a_cancelled_image_costs_nothing_before_its_first_step_and_all_after_its_last(price: int, total: int) -> None:
    shares = [charge([ImageOutcome("cancelled", done)], price=price, steps=total) for done in range(total + 1)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, price)
    assert all(abs(share - price * done / total) <= 0.5 for done, share in enumerate(shares))


@given(specs, st.integers(1, 4))
def test_a_job_that_was_rendered_is_charged_its_price(spec: ImageSpec, count: int) -> None:
    price = quote(spec, count, BASE, edit=False)
    assert charge([ENDED] * count, price=price, steps=spec.steps) == price


@pytest.mark.parametrize(
    ("outcomes", "charged"),
    [
        ([ENDED, ENDED], 200),
        ([ENDED, FAILED], 100),
        ([FAILED, FAILED], 0),
        ([ImageOutcome("cancelled", 1)], 12),
        ([ENDED, ImageOutcome("cancelled", 4), FAILED], 150),
    ],
)
def test_charges(outcomes: list[ImageOutcome], charged: int) -> None:
    assert charge(outcomes, price=100 * len(outcomes), steps=8) == charged


@pytest.mark.parametrize(
    ("cost", "left", "asks"),
    [
        (401, None, True),
        (400, None, False),
        (400, 800, False),
        (400, 799, True),
        (200, 399, True),
        (200, 400, False),
        (199, 200, False),
        (401, 100_000, True),
    ],
)
def test_a_price_is_asked_about_above_4_credits_or_from_2_where_it_is_more_than_half(
    cost: int,
    left: int | None,
    asks: bool,  # noqa: FBT001
) -> None:
    assert needs_confirmation(cost, left) is asks


@pytest.mark.parametrize(("amount", "text"), [(0, "0"), (5, "0.05"), (100, "1"), (1250, "12.5"), (123_456, "1234.56")])
def test_credits_as_text(amount: int, text: str) -> None:
    assert format_credits(amount) == text


@given(st.integers(0, 10**7))
def test_credits_are_shown_exactly(amount: int) -> None:
    assert round(float(format_credits(amount)) * 100) == amount
