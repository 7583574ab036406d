"""Checks prompts for the words and patterns that a server's admins do not allow.

Negative prompts are not checked, since they say what is not to be shown. Text is compared as people read it: without
invisible characters, and without regard to compatibility forms and case (NFKC, casefold).
"""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import regex
import structlog

from bot.errors import Refusal
from bot.inert import in_quotes
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import Word

log = structlog.get_logger(__name__)

WORDS_MAX = 500
WORD_LENGTH_MAX = 100
PATTERNS_MAX = 25
PATTERN_LENGTH_MAX = 200
SENTENCE_LENGTH_MAX = 200

NOT_WANTED = "An admin of this server does not want prompts about that; please ask for something else."
TOO_SLOW = (
    "One of this server's rules could not be checked against this prompt in time; please shorten the prompt, or ask an "
    "admin to fix the rule."
)

_PATTERN_SECONDS = 0.05
_PATTERN_COST_MAX = 5000
_FLAGS = regex.IGNORECASE | regex.FULLCASE
_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]+|(?!\s)\p{Cc}+")
_GAP = regex.compile(r"[\s_]+")
_PART_OF_WORD = r"[\p{L}\p{M}\p{N}]"
_WRITTEN_WITHOUT_SPACES = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
# In a pattern with comments, one may stand between a group and its repeat, where _REPEAT would not find it.
_COMMENTS = regex.compile(r"\(\?(?:#|[a-zA-Z0-9]*x)")
_REPEAT = regex.compile(r"(\))?(?:\+|\{\s*(\d+))")


class WordFilter:
    """A server's words and patterns, compiled. The constructor and :meth:`check` block.

    ``guild_id`` names the server in the log.
    """

    def __init__(self, words: list[Word], guild_id: int = INSTANCE) -> None:
        self._guild_id = guild_id
        self._words = [(normal_word(word.word), word.sentence) for word in words if word.kind == "word"]
        self._patterns = [(compile_pattern(word.word), word.sentence) for word in words if word.kind == "pattern"]

    def __bool__(self) -> bool:
        """Return False if there are no words and no patterns."""
        return bool(self._words or self._patterns)

    def check(self, prompt: str) -> None:
        """Raise :class:`Refusal` with the sentence of the first word or pattern that the prompt contains.

        A pattern that takes too long refuses the prompt as well.
        """
        text = normal_word(prompt)
        for word, sentence in self._words:
            if word in text and _contains_word(text, word):
                raise Refusal(sentence or NOT_WANTED)
        visible = _visible_text(prompt)
        for number, (pattern, sentence) in enumerate(self._patterns):
            try:
                found = _matches(pattern, visible)
            except (TimeoutError, MemoryError) as error:
                log.warning("pattern_too_slow", guild=self._guild_id, pattern=number, length=len(prompt))
                raise Refusal(TOO_SLOW) from error
            if found:
                raise Refusal(sentence or NOT_WANTED)


def read_word(text: str) -> str:
    """Return a word, or several, as it is stored and compared: 1 to 100 characters.

    Raises :class:`Refusal` if it is longer or has no visible character.
    """
    word = normal_word(text)
    if not word:
        raise Refusal("A word needs at least one character that can be seen.")
    if len(word) > WORD_LENGTH_MAX:
        raise Refusal(f"A word has at most {WORD_LENGTH_MAX} characters; this one has {len(word)}.")
    return word


def normal_word(text: str) -> str:
    """Return the text as words are compared: NFKC, casefold, and one space for spaces and "_", which joins tags."""
    spaced: str = _GAP.sub(" ", unicodedata.normalize("NFKC", _visible_text(text).casefold()))
    return spaced.strip()


def compile_pattern(text: str) -> regex.Pattern[str]:
    """Return a compiled regular expression of the ``regex`` library that ignores case.

    Raises :class:`Refusal` with the place of an error, or if the pattern is longer than 200 characters, would take too
    much memory, or matches everything.
    """
    if len(text) > PATTERN_LENGTH_MAX:
        raise Refusal(f"A pattern has at most {PATTERN_LENGTH_MAX} characters; this one has {len(text)}.")
    pattern = unicodedata.normalize("NFKC", text)
    if _COMMENTS.search(pattern):
        raise Refusal("Patterns take no comments and not the flag x: leave them out.")
    if _cost(pattern) > _PATTERN_COST_MAX:
        raise Refusal("This pattern nests too many repeats: use fewer or smaller ones.")
    try:
        compiled: regex.Pattern[str] = regex.compile(pattern, _FLAGS, cache_pattern=False)
        if _matches(compiled, ""):
            raise Refusal("This pattern matches an empty text, so it would refuse every prompt: make it ask for more.")
    except regex.error as error:
        raise Refusal(f"This pattern is not a valid regular expression: {_where(error, pattern)}.") from error
    except (ValueError, KeyError, TimeoutError, RecursionError, MemoryError) as error:
        raise Refusal("This pattern cannot be used: write it more simply, without flags or recursion.") from error
    return compiled


def _visible_text(text: str) -> str:
    """Return the visible characters of a text in NFKC; case is kept."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def _contains_word(text: str, word: str) -> bool:
    """Return whether the text, which contains the word's characters, has it as a whole word.

    In scripts without spaces between words, any part counts.
    """
    if _WRITTEN_WITHOUT_SPACES.search(word):
        return True
    before = f"(?<!{_PART_OF_WORD})" if regex.match(_PART_OF_WORD, word[0]) else ""
    after = f"(?!{_PART_OF_WORD})" if regex.match(_PART_OF_WORD, word[-1]) else ""
    return regex.search(before + regex.escape(word) + after, text) is not None


def _matches(pattern: regex.Pattern[str], text: str) -> bool:
    """Return whether the pattern matches. Raises TimeoutError if it takes more than its share of this thread's time.

    The library's timeout counts the time of all threads, so while the engine works it ends too early. Then the pattern
    is tried again with a longer timeout.
    """
    started, allowed = time.thread_time(), _PATTERN_SECONDS
    while True:
        try:
            return pattern.search(text, timeout=allowed, concurrent=True) is not None
        except TimeoutError:
            if time.thread_time() - started >= _PATTERN_SECONDS / 2:
                raise
            allowed *= 2


def _cost(pattern: str) -> int:
    """Return a bound for the memory that the compiled pattern takes, in characters with repeats written out.

    Repeats of groups can be nested, so their factors multiply; those of others add up.
    """
    length, groups = len(pattern), 1
    for closing, count in _REPEAT.findall(pattern):
        times = int(count[:6] or 1) + 1
        if closing:
            groups *= times
        else:
            length += times
    return length * groups


def _where(error: Any, pattern: str) -> str:
    """Return what is wrong and the text before the place, such as "missing ) after “(ab”"."""
    position = error.pos if error.pos is not None else len(pattern)
    before = pattern[max(0, position - 20) : position]
    place = f"after {in_quotes(before, 20)}" if before else "at its beginning"
    return f"{error.msg} {place}"
