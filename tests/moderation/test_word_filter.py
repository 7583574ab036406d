"""Words and patterns that prompts may not contain."""

from __future__ import annotations

import hashlib
import resource
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.moderation import word_filter
from bot.moderation.word_filter import NOT_WANTED, TOO_SLOW, WordFilter, compile_pattern, normal_word, read_word
from bot.store.moderation import Word

SLOW = "(a+)+$"


def words_filter(*texts: str) -> WordFilter:
    return WordFilter([Word(read_word(text), "word", None) for text in texts])


def pattern_filter(*texts: str) -> WordFilter:
    return WordFilter([Word(text, "pattern", None) for text in texts])


def refused(unwanted: WordFilter, prompt: str) -> str | None:
    """Return the refusal, None if the prompt is allowed."""
    try:
        unwanted.check(prompt)
    except Refusal as refusal:
        return str(refusal)
    return None


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("ass", "an ass, please"),
        ("ass", "ASS"),
        ("ass", "kick_ass_hero"),
        ("ass", "ａｓｓ"),  # full width
        ("ass", "a\u200bs\u2060s"),  # zero width
        ("ass", "\u202eass\u202c"),  # bidi
        ("ass", "a\u00ads\ufe0fs\U000e0061"),  # soft hyphen, variation selector, tag
        ("ass", "the ass's ears"),
        ("Straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("red light", "a RED \n\u3000 light"),
        ("red_light", "red light"),
        ("血", "流血的人"),
        ("ボム", "それはボムだ"),
        ("폭탄", "폭탄은"),
        ("ระเบิด", "มีระเบิดอยู่"),
        ("c++", "written in c++11"),
        ("💣", "boom💣boom"),
        ("нож", "Нож!"),
    ],
)
def test_a_word_is_found_however_it_is_written(word: str, prompt: str) -> None:
    assert refused(words_filter(word), prompt) == NOT_WANTED


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("ass", "a class of glasses"),
        ("ass", "1ass2"),
        ("niño", "nino"),
        ("нож", "ножницы"),
        ("red light", "redlight and a red, light thing"),
        ("e", "cafe\u0301"),
        ("c++", "abc++"),
    ],
)
def test_a_word_inside_another_is_no_match(word: str, prompt: str) -> None:
    assert refused(words_filter(word), prompt) is None


def test_a_word_after_a_part_of_it_is_found() -> None:
    assert refused(words_filter("ass"), "classass ass") == NOT_WANTED


def test_each_word_and_pattern_has_its_own_sentence_and_the_usual_one_repeats_nothing() -> None:
    unwanted = WordFilter(
        [Word("knife", "word", "No knives, please."), Word("gun", "word", None), Word(r"b.mb", "pattern", "No bombs.")]
    )
    assert refused(unwanted, "a knife") == "No knives, please."
    assert refused(unwanted, "a gun") == NOT_WANTED
    assert refused(unwanted, "a BOMB") == "No bombs."
    assert refused(unwanted, "a cat") is None
    assert "gun" not in NOT_WANTED
    assert unwanted
    assert not WordFilter([])


@pytest.mark.parametrize(
    ("pattern", "prompt"),
    [
        (r"\bn+u+d+e+\b", "so NNUDEE"),
        (r"stra(ß|x)e", "STRASSE"),
        ("（a|b）c", "xac"),  # a full-width keyboard
        (r"^.{3}$", "\u200bcat\u200b"),
        (r"b\Wo\Wo", "b_o-o B-O-O"),
        (r"血.?人", "血 人"),
    ],
)
def test_a_pattern_sees_the_prompt_as_people_do(pattern: str, prompt: str) -> None:
    assert refused(pattern_filter(pattern), prompt) == NOT_WANTED


def test_a_pattern_that_takes_too_long_refuses_the_prompt_and_says_what_to_do(caplog) -> None:
    unwanted = WordFilter([Word(SLOW, "pattern", "Never said.")], guild_id=7)
    begun = time.thread_time()
    assert refused(unwanted, "secret " + "a" * 3000 + "!") == TOO_SLOW
    assert time.thread_time() - begun < 0.5
    (logged,) = [record.getMessage() for record in caplog.records if "pattern_too_slow" in record.getMessage()]
    assert "'guild': 7" in logged
    assert "secret" not in logged
    assert refused(unwanted, "a cat!") is None


def test_while_a_slow_pattern_runs_other_threads_go_on() -> None:
    turns = 0
    done = threading.Event()

    def turn() -> None:
        nonlocal turns
        while not done.wait(0.001):
            turns += 1

    thread = threading.Thread(target=turn)
    thread.start()
    assert refused(pattern_filter(SLOW), "a" * 3000 + "!") == TOO_SLOW
    done.set()
    thread.join()
    assert turns >= 10


def test_a_busy_process_does_not_shorten_the_time_a_pattern_gets() -> None:
    """A pattern gets its share of its own thread's time, though the library counts the time of all threads."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            hashlib.pbkdf2_hmac("sha256", b"a", b"b", 50_000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    begun = time.thread_time()
    assert refused(pattern_filter(SLOW), "a" * 3000 + "!") == TOO_SLOW
    spent = time.thread_time() - begun
    done.set()
    for thread in threads:
        thread.join()
    assert spent >= 0.025


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "This pattern is not a valid regular expression: missing ) after “(”."),
        ("ab[c", "unterminated character set after ``ab[c``"),
        ("*a", "nothing to repeat at its beginning"),
        ("a{2,1}", "min repeat greater than max repeat after “a{”"),
        ("a*", "matches an empty text, so it would refuse every prompt"),
        ("", "matches an empty text"),
        ("x" * 201, "A pattern has at most 200 characters; this one has 201."),
        ("(?x)a b", "no comments and not the flag x"),
        ("a(?#why)b", "no comments"),
        (r"(?R)", "cannot be used: write it more simply"),
        (r"(?a)(?u)b", "cannot be used"),
        (r"\L<names>", "undefined named list"),
    ],
)
def test_a_wrong_pattern_is_refused_with_where_it_is_wrong(pattern: str, sentence: str) -> None:
    with pytest.raises(Refusal) as caught:
        compile_pattern(pattern)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:" * 39 + "a" + "+)" * 39,
        "(?:a{1000}){1000}",
        "((a{100}){100}){100}",
        "(?:ab){999999}",
        "a{99999}",
        "(?:(?:a+)++){ 500 }",
    ],
)
def test_a_pattern_that_would_take_all_memory_is_refused_before_it_is_compiled(pattern: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal, match="nests too many repeats"):
        compile_pattern(pattern)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize(
    "pattern", [r"(\d+)-(\w{3})+\s+(x|y)+", r"\w{3,40}", r"(?:a+b+){3}", "a+b+c+d+e+f+g+h+i+j+k+l+"]
)
def test_patterns_as_people_write_them_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern).pattern == pattern


def test_a_word_without_anything_to_see_and_a_long_one_are_refused() -> None:
    with pytest.raises(Refusal, match="at least one character that can be seen"):
        read_word(" \u200b_ ")
    with pytest.raises(Refusal, match="at most 100 characters; this one has 101"):
        read_word("x" * 101)
    assert read_word("  Red \n LIGHT ") == "red light"


@given(st.text(max_size=200))
def test_a_text_in_its_normal_form_stays_as_it_is(text: str) -> None:
    assert normal_word(normal_word(text)) == normal_word(text)


@given(st.lists(st.text(max_size=12), max_size=5), st.text(max_size=200))
def test_any_words_are_held_against_any_prompt(texts: list[str], prompt: str) -> None:
    known = [Word(normal_word(text), "word", None) for text in texts if normal_word(text)]
    assert refused(WordFilter(known), prompt) in (None, NOT_WANTED)


@given(st.text(min_size=1, max_size=30))
def test_a_prompt_that_is_the_word_is_refused(text: str) -> None:
    if normal_word(text):
        assert refused(words_filter(text), text) == NOT_WANTED


@given(st.text(alphabet="ab()[]{}+*?|\\.^$1,:=<>!ß #", max_size=40) | st.text(max_size=40), st.text(max_size=60))
def test_any_pattern_is_taken_or_refused_and_held_against_any_prompt(pattern: str, prompt: str) -> None:
    try:
        compile_pattern(pattern)
    except Refusal:
        return
    assert refused(pattern_filter(pattern), prompt) in (None, NOT_WANTED, TOO_SLOW)


def test_the_longest_lists_are_quick() -> None:
    unwanted = words_filter(*(f"{'a' * (number % 90 + 1)} {number}" for number in range(word_filter.WORDS_MAX)))
    begun = time.thread_time()
    unwanted.check("a " * 2000)
    assert time.thread_time() - begun < 0.1
