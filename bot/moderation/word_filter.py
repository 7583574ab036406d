"""Checks prompts for the words and patterns that a server's admins do not allow.

Negative prompts are not checked, since they say what is not to be shown. Text is compared as people read it: without
invisible characters, and without regard to compatibility forms and case (NFKC, casefold).
"""

from __future__ import annotations

import unicodedata

import regex
import structlog

from bot.errors import Refusal
from bot.moderation.searched_text import SearchedText
from bot.moderation.stored_patterns import read_stored
from bot.store.guild_settings import INSTANCE
from bot.store.moderation import Word

log = structlog.get_logger(__name__)

WORDS_MAX = 500
WORD_LENGTH_MAX = 100
PATTERNS_MAX = 25
SENTENCE_LENGTH_MAX = 200

NOT_WANTED = "An admin of this server does not want prompts about that; please ask for something else."
TOO_SLOW = (
    "One of this server's rules could not be checked against this prompt in time; please shorten the prompt, or ask an "
    "admin to fix the rule."
)
NOT_USABLE = (
    "One of this server's rules cannot be checked, so I refuse every prompt here until an admin replaces it: "
    "/admin words list says which."
)

_INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]+|(?!\s)\p{Cc}+")
_GAP = regex.compile(r"[\s_]+")
_PART_OF_WORD = r"[\p{L}\p{M}\p{N}]"
_WRITTEN_WITHOUT_SPACES = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
)
_WORD_BYTES = 500
"""About what a word takes in memory, with its sentence."""


class WordFilter:
    """A server's words and patterns, compiled. The constructor and :meth:`check` block.

    ``guild_id`` names the server in the log.
    """

    def __init__(self, words: list[Word], guild_id: int = INSTANCE) -> None:
        self._guild_id = guild_id
        self._words = [(normal_word(word.word), word.sentence) for word in words if word.kind == "word"]
        self._patterns = [(read_stored(word.word), word.sentence) for word in words if word.kind == "pattern"]

    def __bool__(self) -> bool:
        """Return False if there are no words and no patterns."""
        return bool(self._words or self._patterns)

    @property
    def size(self) -> int:
        """A bound of its memory in bytes."""
        return _WORD_BYTES * len(self._words) + sum(pattern.size for pattern, _ in self._patterns)

    def check(self, prompt: str) -> None:
        """Raise :class:`Refusal` with the sentence of the first word or pattern that the prompt contains.

        An old pattern that takes too long, or cannot be used at all, refuses the prompt as well.
        """
        text = normal_word(prompt)
        for word, sentence in self._words:
            if word in text and _contains_word(text, word):
                raise Refusal(sentence or NOT_WANTED)
        if not self._patterns:
            return
        visible = SearchedText(_visible_text(prompt))
        for number, (pattern, sentence) in enumerate(self._patterns):
            if pattern.refuses_all:
                log.warning("pattern_not_usable", guild=self._guild_id, pattern=number)
                raise Refusal(NOT_USABLE)
            try:
                found = pattern.is_in(visible)
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
