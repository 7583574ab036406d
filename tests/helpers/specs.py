"""Specs of any shape, for property tests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from bot.requests.spec import ImageSpec
from zimage_engine.catalog import find_profile

DEMO = replace(find_profile("demo"), size_multiple=32)
BASE = replace(find_profile("base"), size_multiple=16)
CAT = ImageSpec("a cat", 256, 256, 7, 8, 0.0, "", "Z-Image demo")

PROMPTS = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80)
    | st.lists(
        st.sampled_from(
            ["a cat", "--", "—seed", "--seed", "7", "--no", "blur", "--strength", "\n", "C--", "红色", "<@1>"]
        ),
        min_size=1,
        max_size=8,
    ).map(" ".join)
).map(
    lambda text: "".join(c for c in text if c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069").strip()
)
"""What Discord accepts as a prompt or nothing, with newlines and flags; without what reading removes."""


@st.composite
def specs(draw: st.DrawFn) -> ImageSpec:
    """New pictures that ``BASE`` can generate."""
    guidance = draw(st.just(0.0) | st.floats(0, 8) | st.decimals(0, 8, places=1).map(float))
    return ImageSpec(
        prompt=draw(PROMPTS.filter(bool)),
        width=16 * draw(st.integers(32, 64)),
        height=16 * draw(st.integers(32, 64)),
        seed=draw(st.integers(0, 2**32 - 1)),
        steps=draw(st.integers(10, 50)),
        guidance_scale=guidance,
        negative_prompt=draw(PROMPTS) if guidance else "",
        model=BASE.title,
    )
