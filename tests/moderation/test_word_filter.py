"""Words and patterns that prompts may not contain."""

from __future__ import annotations

import hashlib
import resource
import threading
import time
import unicodedata

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.moderation import word_filter
from bot.moderation.patterns import Pattern
from bot.moderation.searched_text import SearchedText
from bot.moderation.stored_patterns import read_stored
from bot.moderation.word_filter import NOT_USABLE, NOT_WANTED, TOO_SLOW, WordFilter, normal_word, read_word
from bot.store.moderation import Word

SLOW = r"(?<!b)(a+)+$"
"""Look-behind, which only the library that matched patterns before can read, and that takes exponential time."""


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
        ("(", "This pattern cannot be used: a `)` is missing."),
        ("a)", "a `)` too many"),
        ("ab[c", "a `]` is missing"),
        ("ab\\", "a `\\` stands at its end"),
        ("*a", "there is nothing to repeat before a repeat"),
        ("a**", "there is a repeat of a repeat"),
        ("a{2,1}", "`{2,1}` is the wrong way round: the smaller number goes first"),
        ("a{x}", "a `{` that begins no repeat such as `{2,5}` is written as `\\{`"),
        ("a{1001}", "repeats go up to 1,000, and nested ones are multiplied"),
        ("a{99999}", "repeats go up to 1,000"),
        ("(?:a{100}){100}", "repeats go up to 1,000"),
        (r"[\p{Lu}\p{Ll}\p{Lm}]{999}a", "it takes too much memory; use fewer or smaller repeats"),
        ("[z-a]", "a range or a `\\p{…}` in it does not exist"),
        (r"\p{Foo}", "a range or a `\\p{…}` in it does not exist"),
        (r"[^\w\W]", "one of its classes matches no character at all"),
        ("[[:alpha:]]", "classes such as `[:alpha:]` are not supported; use `\\p{L}`"),
        ("a*", "matches an empty text, so it would refuse every prompt"),
        ("", "matches an empty text"),
        ("x" * 201, "A pattern has at most 200 characters; this one has 201."),
        ("(?x)a b", "flags are `i` and `s`"),
        ("a(?#why)b", "others are not supported"),
        ("(?R)", "others are not supported"),
        ("(?<!b)a", "look-ahead and look-behind are not supported"),
        ("a(?=b)", "look-ahead and look-behind are not supported"),
        ("a++", "possessive repeats such as `++` are not supported"),
        (r"(a)\1", "back-references such as `\\1` are not supported"),
        (r"\L<names>", r"`\L` is not supported"),
        (r"\ud800", r"`\ud800` stands for no character"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_refused_with_the_reason(pattern: str, sentence: str) -> None:
    with pytest.raises(Refusal) as caught:
        Pattern(pattern)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:" * 39 + "a" + "+)" * 39 + "++",
        "(?:a{1000}){1000}",
        "((a{100}){100}){100}",
        "(?:ab){999999}",
        "a{99999}",
        "(?:(?:a+)++){ 500 }",
        r"[\p{Lu}\p{Ll}\p{Lt}\p{Lm}\p{Lo}\p{Mn}\p{Nd}]{4700}a",
        r"(?:[\p{Lu}\p{Ll}\p{Lt}]{0,900}){0,900}",
        "[" + r"\p{L}" * 30,
    ],
)
def test_a_pattern_that_would_take_all_memory_is_never_compiled(pattern: str) -> None:
    """Not when it is added, and not if it was added before; then it refuses every prompt."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal):
        Pattern(pattern)
    assert refused(pattern_filter(pattern), "a cat") == NOT_USABLE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


@pytest.mark.parametrize("pattern", [r"(?<!un)safe", r"(\w)\1{3}", "a++b", r"\bcat(?!fish)"])
def test_a_stored_pattern_that_cannot_be_read_any_more_refuses_what_it_did(pattern: str) -> None:
    unwanted = pattern_filter(pattern)
    assert refused(unwanted, "safe aaaab cat") == NOT_WANTED
    assert refused(unwanted, "unsafe, b catfish") is None
    assert read_stored(pattern).reason is not None


@pytest.mark.parametrize(
    "pattern", [r"(\d+)-(\w{3})+\s+(x|y)+", r"\w{3,40}", r"(?:a+b+){3}", "a+b+c+d+e+f+g+h+i+j+k+l+", r"[\p{L}]{3,9}"]
)
def test_patterns_as_people_write_them_are_taken(pattern: str) -> None:
    assert read_stored(pattern).reason is None


_ATOMS = [
    *("a", "b", "bad", "нож", "ß", "É", "血", "_", "1", "-", "ı"),
    *(r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\b", r"\B", ".", r"\.", r"\-", r"\x41", r"\u043d", "^", "$", r"\Z"),
    *("[ab]", "[^a]", r"[\W_]", r"[^\w-]", r"[a-f\d]", r"[^\W\d]", "[é-ü]", r"[\]x]", "[^]]"),
    *(r"\p{Lu}", r"\P{L}", r"\pN", r"[\p{Han}x]", "(a|b)", "(?:bad|good)", "(?P<name>a)", "(?i)", "(?s:.)"),
]
_REPEATS = ["", "", "", "+", "*", "?", "{2}", "{1,3}", "{2,}", "+?", "{,2}"]
_PIECES = [
    *("a", "b", "bad", "ass", "НОЖ", "ß", "SS", "ss", "É", "e\u0301", " ", "\n", "1", "٣", "_", "-", ".", "血", "Ⓐ"),
    *("I", "x", "Bad", "\u00a0", "!", "💣", "ü", "\u0378"),
]
_PATTERNS = st.lists(st.tuples(st.sampled_from(_ATOMS), st.sampled_from(_REPEATS)), min_size=1, max_size=5).map(
    lambda parts: "".join(
        atom + (repeat if atom not in ("^", "$", "(?i)", r"\b", r"\B") else "") for atom, repeat in parts
    )
)


@given(st.lists(_PATTERNS, min_size=1, max_size=2).map("|".join), st.lists(st.sampled_from(_PIECES), max_size=7))
def test_patterns_match_what_the_regex_library_matches(pattern: str, pieces: list[str]) -> None:
    """Which matched them before: ``\\b``, ``\\w``, ``\\d`` and ``\\s`` mean every script, unlike RE2's own."""
    assume("$\\" not in pattern)  # an edge of a word after the end of the text
    text = unicodedata.normalize("NFKC", "".join(pieces)).rstrip("\n")
    try:
        compiled = Pattern(pattern)
    except Refusal:
        return
    before = regex.compile(
        unicodedata.normalize("NFKC", pattern), regex.IGNORECASE | regex.FULLCASE, cache_pattern=False
    )
    assert compiled.is_in(SearchedText(text)) == (before.search(text) is not None)


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
        Pattern(pattern)
        expected = (None, NOT_WANTED)
    except Refusal:
        expected = (None, NOT_WANTED, TOO_SLOW, NOT_USABLE)
    assert refused(pattern_filter(pattern), prompt) in expected


def test_the_longest_lists_are_quick() -> None:
    unwanted = words_filter(*(f"{'a' * (number % 90 + 1)} {number}" for number in range(word_filter.WORDS_MAX)))
    begun = time.thread_time()
    unwanted.check("a " * 2000)
    assert time.thread_time() - begun < 0.1
