"""Which texts count as encoded already: by scope, the most recent ones, until they are forgotten."""

from __future__ import annotations

from zimage_engine.scheduling.known_prompts import KnownPrompts


def test_a_text_is_known_once_it_was_added_and_in_its_scope_alone() -> None:
    known = KnownPrompts()
    assert not known.add("a", "a red circle")
    assert known.add("a", "a red circle")
    assert not known.add("b", "a red circle")
    assert not known.add("a", "a red circle ")


def test_the_least_recently_used_are_dropped() -> None:
    known = KnownPrompts(count=2)
    for text in ("one", "two", "one", "three"):
        known.add("a", text)
    assert known.add("a", "one")
    assert known.add("a", "three")
    assert not known.add("a", "two")


def test_a_scope_is_forgotten_and_no_text_is_kept() -> None:
    known = KnownPrompts()
    for scope in "ab":
        known.add(scope, "a secret")
    assert "secret" not in repr(vars(known))
    known.forget("a")
    assert known.add("b", "a secret")
    assert not known.add("a", "a secret")
    known.clear()
    assert not known.add("b", "a secret")


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert not KnownPrompts().add("a", "\ud83d")
