"""Prices, when a price is asked about, and what is charged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.requests.models import Models
from bot.requests.pricing import ImageOutcome, ImageWork, Prices, cheapest, format_credits, needs_confirmation
from bot.requests.spec import ImageOptions, ImageSpec, build_spec
from zimage_engine.catalog import PROFILES, find_profile
from zimage_engine.profiles import ModelProfile, Size
from zimage_engine.prompt_tokens import PromptTokens
from zimage_engine.weights import complete_profile

DEMO = complete_profile(find_profile("demo"))
BASE = replace(find_profile("base"), size_multiple=16)
TURBO = replace(find_profile("turbo"), size_multiple=16)
BY_INSTRUCTION = replace(find_profile("edit"), size_multiple=16, image_patches=256)
PROMPTS = PromptTokens.load(DEMO)
PRICES = Prices(Models((DEMO,)), PROMPTS)
SPEC = ImageSpec("a red circle", 256, 256, 7, 8, 0.0, "", "Z-Image demo")

profiles = st.sampled_from((DEMO, BASE, TURBO, BY_INSTRUCTION))
prices = st.integers(1, 100_000)
sides = st.integers(1, 64).map(lambda number: 32 * number)
works = st.builds(
    ImageWork,
    st.builds(Size, sides, sides),
    steps=st.integers(1, 50),
    tokens=st.integers(0, 512),
    passes=st.sampled_from((1, 2)),
    edit=st.booleans(),
)
specs = st.builds(
    replace,
    st.just(SPEC),
    prompt=st.integers(1, 2000).map("a漢".__mul__),
    width=sides,
    height=sides,
    steps=st.integers(1, 50),
    strength=st.floats(0.05, 1),
    guidance_scale=st.sampled_from((0.0, 4.0)),
    original=st.sampled_from(("", "a" * 32)),
)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_picture_of_the_usual_size_and_steps_costs_1_credit(profile: ModelProfile) -> None:
    """Before the model is downloaded, too, and with every prompt of up to 128 tokens."""
    for tokens in (0, 15, 128):
        assert ImageWork(profile.base_size, int(profile.steps.default), tokens).price(profile, profile) == 100


@pytest.mark.parametrize(
    ("changes", "count", "edit", "price"),
    [
        ({}, 1, False, 100),
        ({}, 4, False, 400),
        ({"width": 512, "height": 512}, 1, False, 292),  # 4 times the decoding, but 2 times the tokens of a step
        ({"steps": 9}, 4, False, 432),
        ({"steps": 1}, 1, False, 47),
        ({"width": 64, "height": 64, "steps": 1}, 1, False, 10),
        ({"prompt": "a red circle, " * 200}, 1, False, 278),
        ({"guidance_scale": 4.0}, 1, False, 163),
        ({"steps": 20, "strength": 0.9}, 1, False, 192),
        ({"steps": 20, "strength": 0.9}, 1, True, 195),
    ],
)
def test_prices(changes: dict, count: int, edit: bool, price: int) -> None:  # noqa: FBT001
    assert PRICES.quote(replace(SPEC, **changes), count, edit=edit) == price


def test_prices_of_options() -> None:
    def price(profile: ModelProfile, count: int = 1, **given: object) -> int:
        spec, _ = build_spec(ImageOptions("x", **given), profile, max_count=4)  # type: ignore[arg-type]
        return Prices(Models((profile,)), PROMPTS).quote(spec, count, edit=False)

    assert price(DEMO) == 100
    assert price(DEMO, 3) == 300
    assert price(DEMO, size="large") == 292
    assert price(DEMO, size="32x32", steps=1) == cheapest(Models((DEMO,))) == 9
    assert price(TURBO, size="2048x2048") == 564
    assert price(BASE) == 200
    assert price(BASE, guidance=0.0) == 100


def test_the_longer_one_of_prompt_and_negative_prompt_counts() -> None:
    long, short = "a red circle, " * 200, "a red circle"
    negative = replace(SPEC, prompt=short, negative_prompt=long)
    assert PRICES.quote(negative, 1, edit=False) == 100, "without guidance it is not encoded"
    guided = replace(negative, guidance_scale=4.0)
    turned = replace(guided, prompt=long, negative_prompt=short)
    assert PRICES.quote(guided, 1, edit=False) == PRICES.quote(turned, 1, edit=False) > 500


def test_the_original_of_an_edit_by_instruction_is_joined_to_every_step() -> None:
    usual = ImageWork(BY_INSTRUCTION.base_size, 50)
    assert 200 < replace(usual, edit=True).price(BY_INSTRUCTION, BY_INSTRUCTION) < 300
    without = replace(BY_INSTRUCTION, image_patches=0)
    assert replace(usual, edit=True).price(without, without) == 101


@given(profiles, works, works)
def test_a_price_grows_with_size_steps_tokens_passes_and_an_original(
    profile: ModelProfile, one: ImageWork, other: ImageWork
) -> None:
    larger = ImageWork(
        Size(max(one.size.width, other.size.width), max(one.size.height, other.size.height)),
        max(one.steps, other.steps),
        max(one.tokens, other.tokens),
        max(one.passes, other.passes),
        one.edit or other.edit,
    )
    assert 1 <= one.price(profile, profile) <= larger.price(profile, profile)
    assert cheapest(Models((profile,))) <= one.price(profile, profile)


@given(profiles, specs, st.integers(1, 8))
def test_a_job_costs_as_much_as_its_images_one_by_one(profile: ModelProfile, spec: ImageSpec, count: int) -> None:
    priced = Prices(Models((profile,)), PROMPTS)
    spec = replace(spec, model=profile.title)
    for edit in (False, True):
        price = priced.quote(spec, count, edit=edit)
        assert isinstance(price, int)
        assert price == count * priced.quote(spec, 1, edit=edit)


@given(specs)
def test_an_edit_costs_the_same_before_and_after_its_original_is_stored(spec: ImageSpec) -> None:
    kept = replace(spec, original="a" * 32)
    assert PRICES.quote(kept, 1, edit=True) == PRICES.quote(replace(spec, original=""), 1, edit=True)
    assert kept.steps_run(edit=True) == kept.real_steps


@given(specs, prices)
def test_a_cancelled_image_costs_nothing_before_its_first_unit_and_more_with_each(spec: ImageSpec, price: int) -> None:
    units = 2 + bool(spec.original) + spec.real_steps
    shares = [PRICES.charge(spec, price, ImageOutcome("cancelled", done)) for done in range(units + 1)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[1] >= 1, "encoding the text is not free"
    assert shares[-1] == price == PRICES.charge(spec, price, ImageOutcome("rendered"))
    assert PRICES.charge(spec, price, ImageOutcome("failed")) == 0


@pytest.mark.parametrize(
    ("units", "edit", "charged"),
    [
        (0, False, 0),
        (1, False, 2),  # the text
        (2, False, 9),  # and a step
        (9, False, 63),  # all steps
        (1, True, 2),
        (2, True, 18),  # the original, which takes half as long as the picture
        (3, True, 24),
    ],
)
def test_what_was_done_of_a_cancelled_image_is_charged(units: int, edit: bool, charged: int) -> None:  # noqa: FBT001
    spec = replace(SPEC, original="a" * 32 if edit else "")
    assert PRICES.charge(spec, 100, ImageOutcome("cancelled", units)) == charged


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
