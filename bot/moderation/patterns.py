r"""Regular expressions of admins, matched by RE2 in linear time and bounded memory.

A pattern is translated to ask for the marks in :mod:`bot.moderation.searched_text`: ``\w`` becomes "a mark of a digit
or a part of a word, then any character".
"""

from __future__ import annotations

import threading
import unicodedata
from typing import Any, Final, NoReturn

import re2
import regex

from bot.errors import Refusal
from bot.moderation.searched_text import DIGIT, EDGE, KINDS, LETTER, NO_EDGE, SPACE, SearchedText, fold, kind_of

PATTERN_LENGTH_MAX = 200
PATTERN_BYTES: Final = 256 * 1024
"""RE2's bound for the memory of one pattern: its program, and the states that are kept while texts are searched."""

_SHORTHANDS = {"d": {DIGIT}, "w": {DIGIT, LETTER}, "s": {SPACE}}
_SHORTHAND_KINDS: dict[str, frozenset[str]] = {
    **{name: frozenset(kinds) for name, kinds in _SHORTHANDS.items()},
    **{name.upper(): KINDS - kinds for name, kinds in _SHORTHANDS.items()},
}
_ANYTHING = "(?s:.)"

_TOKEN = regex.compile(
    r"(?P<class>\[\^?\]?(?:\\p\{[^}]*\}|\\.|[^\]\\])*+\])"
    r"|\\(?P<property>[pP](?:\{[^}]*\}|.))"
    r"|\\(?P<code>x[0-9a-fA-F]{2}|x\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
    r"|\\(?P<escape>.)"
    r"|(?P<repeat>[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})(?P<how>[?+]?)"
    r"|(?P<group>\((?!\?)|\(\?P?<\w+>|\(\?[isu]*(?:-[is]+)?[:)])"
    r"|(?P<bar>[|)])|(?P<edge>[\^$])|(?P<dot>\.)|(?P<literal>[^\\(\[{])",
    regex.DOTALL,
)
_IN_CLASS = regex.compile(
    r"\\(?P<property>[pP](?:\{[^}]*\}|.))"
    r"|\\(?P<code>x[0-9a-fA-F]{2}|x\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
    r"|\\(?P<escape>.)|(?P<posix>\[:\^?\w+:)|(?P<range>-)|(?P<literal>.)",
    regex.DOTALL,
)
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ALSO = {"ı": ("i",), "İ": ("i",)}
"""Letters that are the same as another one in upper case, besides what Unicode's case folding says."""

_REASONS = {
    "missing )": "a `)` is missing",
    "unexpected )": "there is a `)` too many",
    "missing ]": "a `]` is missing",
    "no argument for repetition operator": "there is nothing to repeat before a repeat",
    "bad repetition operator": "there is a repeat of a repeat",
    "invalid repetition size": "repeats go up to 1,000, and nested ones are multiplied",
    "pattern too large - compile failed": "it takes too much memory; use fewer or smaller repeats",
    "invalid character class range": "a range or a `\\p{…}` in it does not exist",
    "invalid escape sequence": "a `\\` stands before something that has no meaning here",
    "invalid UTF-8": "it has a character that does not exist",
}
_LOOK_AROUND = "look-ahead and look-behind are not supported; ask for one thing, or add several patterns"
_compiling = threading.Lock()


class Pattern:
    """A compiled pattern. ``size`` is a bound of its memory in bytes."""

    size = PATTERN_BYTES

    def __init__(self, text: str) -> None:
        r"""Compile a pattern, which ignores case. Blocks, and holds the GIL for some milliseconds at most.

        Raises :class:`Refusal` with the reason if it is longer than 200 characters, cannot be read, or matches an empty
        text.
        """
        if len(text) > PATTERN_LENGTH_MAX:
            raise Refusal(f"A pattern has at most {PATTERN_LENGTH_MAX} characters; this one has {len(text)}.")
        translation = _Translation(unicodedata.normalize("NFKC", text))
        self._edges = translation.edges
        self._compiled = _compile(translation.text)
        if self.is_in(SearchedText("")):
            raise Refusal("This pattern matches an empty text, so it would refuse every prompt: make it ask for more.")

    def is_in(self, text: SearchedText) -> bool:
        """Return whether some part of the text matches. Blocks without holding the GIL."""
        forms = text.with_edges if self._edges else text.plain
        return any(self._compiled.search(form) is not None for form in forms)


class _Translation:
    """A pattern as RE2 is to read it. ``edges`` is whether it asks for the edges of words."""

    def __init__(self, pattern: str) -> None:
        tokens = _without_repeated_edges(_tokens(pattern))
        self.edges = any(token["escape"] in ("b", "B") for token in tokens)
        self._skip = f"[{EDGE}{NO_EDGE}]*" if self.edges else ""
        self.text = "".join(self._translated(token) for token in tokens)

    def _translated(self, token: regex.Match[str]) -> str:
        match token.lastgroup:
            case "class":
                return self._class(token["class"])
            case "property":
                return self._one(KINDS, f"\\{token['property']}")
            case "code":
                return self._literal(_character(token["code"]))
            case "escape":
                return self._escape(token["escape"])
            case "how":
                if token["how"] == "+":
                    _refuse("possessive repeats such as `++` are not supported")
                repeat: str = token["repeat"].replace("{,", "{0,")
                return f"{_checked(repeat)}{token['how']}"
            case "group":
                return _group(token["group"])
            case "edge":
                return "^" if token["edge"] == "^" else f"(?:{self._skip}$)"
            case "dot":
                return self._one(KINDS, ".")
            case "bar":
                return str(token["bar"])
            case _:
                return self._literal(token["literal"])

    def _one(self, kinds: frozenset[str] | set[str], character: str) -> str:
        """Return an expression for one character of these kinds."""
        if not kinds:
            _refuse("one of its classes matches no character at all")
        return f"(?:{self._skip}{_marks(kinds)}{character})"

    def _literal(self, character: str) -> str:
        forms = [character, *_ALSO.get(character, ())]
        if len(folded := fold(character)) > 1:
            forms.append(folded)
        written = ["".join(f"{self._skip}{kind_of(c)}{regex.escape(c)}" for c in form) for form in forms]
        return f"(?:{'|'.join(written)})"

    def _escape(self, name: str) -> str:
        if name in _SHORTHAND_KINDS:
            return self._one(_SHORTHAND_KINDS[name], _ANYTHING)
        if name in ("b", "B"):
            return f"(?:{EDGE if name == 'b' else NO_EDGE})"
        if name in ("A", "Z", "z"):
            return "\\A" if name == "A" else f"(?:{self._skip}\\z)"
        return self._literal(_escaped(name))

    def _class(self, text: str) -> str:
        negated, kinds, ranges = text.startswith("[^"), frozenset[str](), ""
        for token in _IN_CLASS.finditer(text[2:-1] if negated else text[1:-1]):
            if token["posix"]:
                _refuse("classes such as `[:alpha:]` are not supported; use `\\p{L}`, `\\d`, `\\w` or `\\s`")
            elif token["escape"] in _SHORTHAND_KINDS:
                kinds |= _SHORTHAND_KINDS[token["escape"]]
            elif token["property"]:
                ranges += f"\\{token['property']}"
            elif token["range"]:
                ranges += "-"
            elif token["code"]:
                ranges += _in_class(_character(token["code"]))
            elif token["escape"]:
                ranges += _in_class("\b" if token["escape"] == "b" else _escaped(token["escape"]))
            else:
                ranges += _in_class(token["literal"])
        if negated:
            return self._one(KINDS - kinds, f"[^{ranges}]" if ranges else _ANYTHING)
        parts = [self._one(KINDS, f"[{ranges}]")] if ranges else []
        if kinds:
            parts.append(self._one(kinds, _ANYTHING))
        return f"(?:{'|'.join(parts)})"


def _tokens(pattern: str) -> list[regex.Match[str]]:
    found, position = [], 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            _refuse_rest(pattern[position:])
        found.append(token)
        position = token.end()
    return found


def _without_repeated_edges(tokens: list[regex.Match[str]]) -> list[regex.Match[str]]:
    r"""Return the tokens without a ``\b`` or ``\B`` that follows the same: it asks for nothing new."""
    kept: list[regex.Match[str]] = []
    for token in tokens:
        if not (kept and token["escape"] in ("b", "B") and token["escape"] == kept[-1]["escape"]):
            kept.append(token)
    return kept


def _refuse_rest(rest: str) -> NoReturn:
    """Refuse a pattern whose rest has no meaning."""
    if regex.match(r"\(\?<?[=!]", rest):
        _refuse(_LOOK_AROUND)
    if rest.startswith("(?"):
        _refuse("groups begin with `(`, `(?:` or `(?P<name>`, and flags are `i` and `s`; others are not supported")
    if rest.startswith("{"):
        _refuse("a `{` that begins no repeat such as `{2,5}` is written as `\\{`")
    _refuse("a `]` is missing" if rest.startswith("[") else "a `\\` stands at its end")


def _group(begun: str) -> str:
    """Return the beginning of a group, or flags, without the flag u, which is always on."""
    return begun if begun == "(" or "<" in begun else begun.replace("u", "").replace("(?)", "(?i)")


def _checked(repeat: str) -> str:
    """Return a repeat. Raises :class:`Refusal` if its limits are the wrong way round."""
    low, _, high = repeat.strip("{}").partition(",")
    if high and int(low) > int(high):
        _refuse(f"`{repeat}` is the wrong way round: the smaller number goes first")
    return repeat


def _escaped(name: str) -> str:
    """Return the character that a backslash before ``name`` stands for. Raises :class:`Refusal` if there is none."""
    if name in _CONTROLS:
        return _CONTROLS[name]
    if name.isascii() and name.isdigit() and name != "0":
        _refuse("back-references such as `\\1` are not supported")
    if name.isascii() and name.isalnum():
        _refuse(f"`\\{name}` is not supported")
    return name


def _in_class(character: str) -> str:
    r"""Return a character as it is written in a class: RE2 takes a backslash before ASCII punctuation alone."""
    return character if character.isalnum() or not character.isascii() or character.isspace() else f"\\{character}"


def _character(code: str) -> str:
    number = int(code[1:].strip("{}"), 16)
    if number > 0x10FFFF or 0xD800 <= number < 0xE000:
        _refuse(f"`\\{code}` stands for no character")
    return chr(number)


def _refuse(reason: str) -> NoReturn:
    raise Refusal(f"This pattern cannot be used: {reason}.")


def _compile(translated: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.never_capture = True
    options.max_mem = PATTERN_BYTES
    try:
        with _compiling:
            compiled = re2.compile(translated.encode(errors="replace"), options)
            re2.purge()  # the library would keep the last 128 patterns of anybody
    except re2.error as error:
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        _refuse(_REASONS.get(message.split(":")[0], message.split(":")[0]))
    return compiled


def _marks(kinds: frozenset[str] | set[str]) -> str:
    return f"[{''.join(sorted(kinds))}]"
