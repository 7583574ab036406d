"""Words and patterns that a server's admins do not want in prompts. Only prompts are held against them: a negative
prompt says what is not to be shown.

A prompt is compared as people read it: compatibility forms and case are one (NFKC, casefold), and characters that
nobody sees are left out.
"""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import regex
import structlog

from bot.errors import Refusal
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
    "admin to mend the rule."
)

_PATTERN_SECONDS = 0.05
_PATTERN_COST_MAX = 5000
_FLAGS = regex.IGNORECASE | regex.FULLCASE
_UNSEEN = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]+|(?!\s)\p{Cc}+")
_GAP = regex.compile(r"[\s_]+")
_PART_OF_WORD = r"[\p{L}\p{M}\p{N}]"
_WRITTEN_WITHOUT_SPACES = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
# What comes between a group and its repeat in a pattern with comments; without them a repeat follows its group at once.
_COMMENTS = regex.compile(r"\(\?(?:#|[a-zA-Z0-9]*x)")
_REPEAT = regex.compile(r"(\))?(?:\+|\{\s*(\d+))")


class WordFilter:
    """A server's words and patterns, ready to be held against prompts. Making one and checking block: use a thread.

    ``guild_id`` names the server in the log.
    """

    def __init__(self, words: list[Word], guild_id: int = 0) -> None:
        self._guild_id = guild_id
        self._words = [(normal_word(word.word), word.sentence) for word in words if word.kind == "word"]
        self._patterns = [(compile_pattern(word.word), word.sentence) for word in words if word.kind == "pattern"]

    def __bool__(self) -> bool:
        """False where nothing is unwanted."""
        return bool(self._words or self._patterns)

    def check(self, prompt: str) -> None:
        """Raises :class:`Refusal` with the sentence for the first word or pattern that the prompt holds.

        A pattern that runs out of its time refuses the prompt, too: what cannot be checked is not let through.
        """
        text = normal_word(prompt)
        for word, sentence in self._words:
            if word in text and _stands_in(word, text):
                raise Refusal(sentence or NOT_WANTED)
        seen = _seen(prompt)
        for number, (pattern, sentence) in enumerate(self._patterns):
            try:
                found = _matches(pattern, seen)
            except (TimeoutError, MemoryError) as error:
                log.warning("pattern_too_slow", guild=self._guild_id, pattern=number, length=len(prompt))
                raise Refusal(TOO_SLOW) from error
            if found:
                raise Refusal(sentence or NOT_WANTED)


def read_word(text: str) -> str:
    """A word, or several, as it is kept and compared: 1 to 100 characters.

    Raises :class:`Refusal` where nothing is left of it, or too much.
    """
    word = normal_word(text)
    if not word:
        raise Refusal("A word needs at least one character that can be seen.")
    if len(word) > WORD_LENGTH_MAX:
        raise Refusal(f"A word has at most {WORD_LENGTH_MAX} characters; this one has {len(word)}.")
    return word


def normal_word(text: str) -> str:
    """The text as words are compared: NFKC, casefold, one space for each gap. Tags join words with "_"; it is a gap."""
    spaced: str = _GAP.sub(" ", unicodedata.normalize("NFKC", _seen(text).casefold()))
    return spaced.strip()


def compile_pattern(text: str) -> regex.Pattern[str]:
    """A regular expression (of the ``regex`` library, upper and lower case alike), from at most 200 characters.

    Raises :class:`Refusal` with where it is wrong, or why it would do harm.
    """
    if len(text) > PATTERN_LENGTH_MAX:
        raise Refusal(f"A pattern has at most {PATTERN_LENGTH_MAX} characters; this one has {len(text)}.")
    pattern = unicodedata.normalize("NFKC", text)
    if _COMMENTS.search(pattern):
        raise Refusal("Patterns take no comments and not the flag x: leave them out.")
    if _cost(pattern) > _PATTERN_COST_MAX:
        raise Refusal("This pattern repeats what is repeated already too many times: use fewer or smaller repeats.")
    try:
        compiled: regex.Pattern[str] = regex.compile(pattern, _FLAGS, cache_pattern=False)
        if _matches(compiled, ""):
            raise Refusal("This pattern matches an empty text, so it would refuse every prompt: make it ask for more.")
    except regex.error as error:
        raise Refusal(f"This pattern is no regular expression: {_where(error, pattern)}.") from error
    except (ValueError, KeyError, TimeoutError, RecursionError, MemoryError) as error:
        raise Refusal("This pattern cannot be used: write it more simply, without flags or recursion.") from error
    return compiled


def _seen(text: str) -> str:
    """What people read of a text, in one form: an upper case letter stays one."""
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text))


def _stands_in(word: str, text: str) -> bool:
    """Whether it is there as a whole word, or as a part where its script puts no spaces between words."""
    if _WRITTEN_WITHOUT_SPACES.search(word):
        return True
    before = f"(?<!{_PART_OF_WORD})" if regex.match(_PART_OF_WORD, word[0]) else ""
    after = f"(?!{_PART_OF_WORD})" if regex.match(_PART_OF_WORD, word[-1]) else ""
    return regex.search(before + regex.escape(word) + after, text) is not None


def _matches(pattern: regex.Pattern[str], text: str) -> bool:
    """Raises TimeoutError where the pattern took its time of this thread.

    The library's own clock counts the time of all threads, so while the engine works a pattern gets less than it
    was given; then it is tried again with more.
    """
    begun, allowed = time.thread_time(), _PATTERN_SECONDS
    while True:
        try:
            return pattern.search(text, timeout=allowed, concurrent=True) is not None
        except TimeoutError:
            if time.thread_time() - begun >= _PATTERN_SECONDS / 2:
                raise
            allowed *= 2


def _cost(pattern: str) -> int:
    """At least how much memory the compiled pattern takes, in its characters: repeats are written out.

    Repeats of groups may stand in each other, so they multiply; all others add up.
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
    """ "missing ) after “(ab”": what is wrong, and the text before the place."""
    position = error.pos if error.pos is not None else len(pattern)
    before = pattern[max(0, position - 20) : position]
    place = f"after “{before}”" if before else "at its beginning"
    return f"{error.msg} {place}"
