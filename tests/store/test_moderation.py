"""The rules for channels decide where the bot may be used."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.store.moderation import Rule, allowed_in

RULES = st.dictionaries(st.integers(1, 5), st.sampled_from(["allow", "deny"]))
CHANNELS = st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True).map(tuple)


@given(RULES, CHANNELS)
def test_the_nearest_rule_decides_and_without_one_whether_anything_is_allowed(
    known: dict[int, Rule], channels: tuple[int, ...]
) -> None:
    nearest = [known[channel] for channel in channels if channel in known]
    expected = nearest[0] == "allow" if nearest else set(known.values()) <= {"deny"}
    assert allowed_in(known, channels) is expected


@given(RULES, CHANNELS, st.sampled_from(["allow", "deny"]))
def test_a_rule_of_the_place_itself_goes_before_everything(
    known: dict[int, Rule], channels: tuple[int, ...], rule: Rule
) -> None:
    assert allowed_in({**known, channels[0]: rule}, channels) is (rule == "allow")


@given(RULES, CHANNELS)
def test_another_denial_elsewhere_changes_nothing_here(known: dict[int, Rule], channels: tuple[int, ...]) -> None:
    assert allowed_in({**known, 99: "deny"}, channels) is allowed_in(known, channels)
