"""Which texts count as encoded: by scope, the most recent ones, until they are forgotten."""

from __future__ import annotations

from zimage_engine.scheduling.known_prompts import KnownPrompts, TextTracker, text_key
from zimage_engine.scheduling.tokens import text_tokens

GPU = "gpu"
CIRCLE, STAR = "a red circle", "a small yellow star on the left"


def test_the_least_recently_used_are_dropped() -> None:
    known = KnownPrompts(count=2)
    one, two, three = (text_key("a", text) for text in ("one", "two", "three"))
    known.add(one)
    known.add(two)
    assert known.use(one)
    known.add(three)
    assert [known.use(key) for key in (one, two, three)] == [True, False, True]


def test_a_key_is_of_one_scope_and_does_not_show_the_text() -> None:
    assert text_key("a", CIRCLE) != text_key("b", CIRCLE)
    assert "circle" not in repr(text_key("a", CIRCLE))
    assert text_key("a", "\ud83d") != text_key("a", ""), "half a surrogate pair has a key, too"


def tracker_of(*devices: str) -> TextTracker:
    tracker = TextTracker()
    for device in devices:
        tracker.add_device(device)
    return tracker


def test_a_text_is_new_until_a_request_of_its_scope_was_encoded() -> None:
    tracker = tracker_of(GPU)
    for name, scope in {"first": "a", "same": "a", "other": "b"}.items():
        tracker.add(name, scope, [CIRCLE])
        assert tracker.new_tokens(name) == (text_tokens(CIRCLE),)
    assert tracker.encoded("first", GPU) == {"first", "same"}
    tracker.add("late", "a", [CIRCLE, STAR])
    assert tracker.new_tokens("same") == ()
    assert tracker.new_tokens("late") == (text_tokens(STAR),)
    assert tracker.new_tokens("other") == (text_tokens(CIRCLE),)


def test_the_empty_text_is_of_no_scope() -> None:
    tracker = tracker_of(GPU)
    tracker.add("first", "a", [CIRCLE, ""])
    tracker.encoded("first", GPU)
    tracker.add("other", "b", [""])
    assert tracker.new_tokens("other") == ()


def test_forgotten_texts_are_new_again() -> None:
    tracker = tracker_of(GPU)
    for name, scope in {"first": "a", "other": "b"}.items():
        tracker.add(name, scope, [CIRCLE])
        tracker.encoded(name, GPU)
    assert tracker.forget("a") == {"first"}
    assert tracker.new_tokens("first") != ()
    assert tracker.new_tokens("other") == ()
    assert tracker.clear(GPU) == {"first", "other"}
    assert tracker.new_tokens("other") != ()


def test_nothing_is_left_of_requests_that_have_ended() -> None:
    tracker = tracker_of(GPU)
    for name in ("first", "second"):
        tracker.add(name, "a", [CIRCLE, STAR])
    tracker.remove("second")
    assert tracker.encoded("first", GPU) == {"first"}
    tracker.add("third", "a", ["another"])
    for name in ("first", "third", "unknown"):
        tracker.remove(name)
    tracker.forget("a")
    assert (tracker._requests, tracker._waiting, tracker._known[GPU]._keys) == ({}, {}, {})


def test_a_text_that_one_device_has_encoded_is_new_on_the_other() -> None:
    tracker = tracker_of("one", "two")
    tracker.add("first", "a", [CIRCLE])
    assert tracker.encoded("first", "one") == {"first"}
    assert tracker.new_tokens("first") == tracker.new_tokens("first", "one") == ()
    assert tracker.new_tokens("first", "two") == (text_tokens(CIRCLE),)
    tracker.encoded("first", "two")
    tracker.clear("one")
    assert tracker.new_tokens("first") == tracker.new_tokens("first", "two") == ()
    tracker.clear("two")
    tracker.remove_device("two")
    assert tracker.new_tokens("first") == (text_tokens(CIRCLE),)
