"""What a draft says, and the options that are made of it."""

from __future__ import annotations

import pytest

from bot.requests.drafts import Draft, flags_text
from bot.requests.flags import EDIT_FLAGS, read_flags
from bot.requests.refusals import Alternative
from bot.requests.spec import ImageOptions
from zimage_engine.types import InvalidRequest

EVERY_FLAG = ImageOptions(
    "",
    aspect="16:9",
    size="large",
    count=2,
    seed=7,
    steps=4,
    guidance=3.5,
    strength=0.05,
    fit="pad",
    which=2,
)


def test_the_line_of_flags_reads_as_the_options() -> None:
    line = flags_text(EVERY_FLAG)
    assert line == (
        "--ar 16:9 --size large --count 2 --seed 7 --steps 4 --strength 0.05 --guidance 3.5 --image 2 --fit pad"
    )
    assert read_flags(ImageOptions(line), EDIT_FLAGS) == EVERY_FLAG


def test_what_was_typed_is_told_whole() -> None:
    draft = Draft.of(ImageOptions("a cat --seed 5", negative="blur", aspect="16:9"), private=True)
    assert draft.typed == "a cat --seed 5 --no blur --ar 16:9"
    assert draft.private
    assert not draft.is_edit


def test_a_draft_is_the_same_after_it_was_stored() -> None:
    options = ImageOptions("a cat", seed=5, verbatim=True)
    draft = Draft(
        "p", "n", "--seed 5", private=False, picture="i0", mask="o1", alternatives=(Alternative("A", options),)
    )
    assert Draft.from_json(draft.to_json()) == draft
    assert Draft.from_json(Draft("p").to_json()) == Draft("p")


def test_a_flag_in_the_prompt_wins_over_the_fields() -> None:
    draft = Draft("a cat --seed 5 --no dogs", negative="blur", flags="--seed 7 --steps 4", private=False)
    assert draft.options() == ImageOptions("a cat --seed 5 --no dogs", steps=4, private=False)
    draft = Draft("a cat --private", private=False)
    assert draft.options().private is None, "the flag says it"
    draft = Draft("a cat", negative="blur", flags="--no dogs --private")
    assert draft.options() == ImageOptions("a cat", negative="dogs", private=True)


def test_a_line_may_begin_with_any_dash() -> None:
    for dash in ("--", "—", "–", "−−", "――"):
        assert Draft("a cat", flags=f"{dash}seed 5").options() == ImageOptions("a cat", seed=5), dash


def test_a_line_that_cannot_be_read_is_left_for_the_submission_to_refuse() -> None:
    draft = Draft("a cat", flags="--sede 5 --ar 16:9", private=True)
    assert draft.options() == ImageOptions("a cat --sede 5 --ar 16:9", private=True)
    draft = Draft("a cat", flags="--strength 0.4 --seed 5")
    assert draft.options() == ImageOptions("a cat --strength 0.4 --seed 5"), "a new picture has no strength"
    assert Draft("a cat", flags="--strength 0.4", picture="n").options() == ImageOptions("a cat", strength=0.4)
    with pytest.raises(InvalidRequest, match="“seed 5” is none"):
        Draft("a cat", flags="seed 5").options()
