"""Flags inside a prompt, in the notation of Midjourney: ``a cat --ar 16:9 --seed 7 --no blur``.

Phones turn ``--`` into a dash, so ``—ar`` is the same flag. The text without its flags is the prompt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bot.requests.flag_faults import FlagFaults
from bot.requests.flag_rules import FlagRules
from bot.requests.flag_scanner import FlagToken, after_punctuation, find_flags, has_dash, plain, value_candidates
from bot.requests.midjourney_flags import MIDJOURNEY_FLAGS, SAME_AS
from bot.requests.models import Models
from bot.requests.option_types import Option
from bot.requests.options import MODEL, OPTIONS
from bot.requests.refusals import Alternative, RequestRefused
from bot.requests.spec import ImageOptions
from zimage_engine.profiles import ModelProfile
from zimage_engine.types import InvalidRequest

Flags = Mapping[str, Option[Any]]

_SIMILAR = 0.7
"""From which ratio of :mod:`difflib` on an unknown name counts as a known one with a typing error."""
_OTHER_VALUE = re.compile(r"\s*+(?:[=:]\s*+)?(?:\d[!-~]*|https?://\S+|(?:on|off|true|false)(?!\S))", re.IGNORECASE)
"""What is taken for the value of an unknown flag."""
_BEFORE_VALUE = re.compile(r"\s*+(?:[=:]\s*+)?")
_WORD = re.compile(r"\S+")


def _flags(*, edits_only: bool) -> dict[str, Option[Any]]:
    return {flag: option for option in OPTIONS if option.edits_only == edits_only for flag in option.flags}


FLAGS = _flags(edits_only=False)
"""The options by their flags in the prompt of a new picture."""

EDIT_FLAGS = FLAGS | _flags(edits_only=True)
"""The same for an edit."""


def has_flag(text: str) -> bool:
    """Return whether the text has a flag that is known here or from Midjourney, with or without a valid value."""
    return any(_is_known(written.token.name) or _similar(written, EDIT_FLAGS) for written in _written(text))


def options_with_flags(text: str) -> frozenset[str]:
    """Return the names of the options that the text's flags set."""
    names = (written.token.name for written in _written(text))
    return frozenset(EDIT_FLAGS[name].name for name in names if name in EDIT_FLAGS)


def read_flags(
    options: ImageOptions,
    flags: Flags = FLAGS,
    *,
    models: Models | None = None,
    max_count: int | None = None,
    any_model: bool = False,
) -> ImageOptions:
    """Return the options with the flags of the prompt applied, and removed from the prompt.

    With ``models`` and ``max_count`` values are checked against what the model and the operator allow; with
    ``any_model``, against what one of the models allows, unless the options name one. Options beside the prompt that
    the model does not take are refused like its flags, unless they are those of an earlier picture (``complete``).

    Raises :class:`RequestRefused`, with the request that was probably meant, if flags are unknown or not for this model
    or kind of request; and :class:`InvalidRequest` if known ones have no valid value, are given twice, or are given as
    an option too. The sentence names every such flag.
    """
    written = [] if options.verbatim else _written(options.prompt)
    rules = FlagRules(models, None, max_count or 1)
    if models is not None:
        if not models.several:
            flags = {name: option for name, option in flags.items() if option is not MODEL}
        named = _model_named(options, written, flags, models)
        profile = None if any_model and models.several else models.usual
        note = f"I use {models.instead}" if named is None and models.instead else ""
        rules = replace(rules, profile=named or profile, note=note)
    reader = _Reader(
        options, flags, rules, {flags[name].name for each in written if (name := each.token.name) in flags}
    )
    if not options.complete:
        reader.read_given()
    for flag in written:
        reader.read(flag)
    return reader.result(options.prompt[: written[0].token.start] if written else options.prompt)


def _model_named(options: ImageOptions, written: list[_Written], flags: Flags, models: Models) -> ModelProfile | None:
    """Return the model that the options or a flag name; None if they name none."""
    names = [options.model] if options.model is not None else []
    names += [
        _read_value(MODEL, each.rest, each.plain_rest).value for each in written if flags.get(each.token.name) is MODEL
    ]
    return next((found for name in names if (found := models.named(name)) is not None), None)


@dataclass(frozen=True, slots=True)
class _Written:
    """A flag and the ``rest`` of the text up to the next one; ``plain_rest`` is the rest as it is compared."""

    token: FlagToken
    text: str
    rest: str
    plain_rest: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A value, and the position in the rest where it ends; ``value`` is None if there is no valid one."""

    value: Any
    shown: str
    end: int


def _is_known(name: str) -> bool:
    return name in EDIT_FLAGS or name in MIDJOURNEY_FLAGS or name in SAME_AS


def _written(text: str) -> list[_Written]:
    """Return the flags in a text. Dashes before prose are none: those that are no two hyphens need a fitting value."""
    if not has_dash(text):
        return []
    compared = plain(text)
    tokens = list(find_flags(compared, _is_known))
    tokens = [
        token
        for token, end in zip(tokens, _ends(tokens, text), strict=True)
        if token.certain or _is_meant(token, compared[token.end : end])
    ]
    return [
        _Written(token, text[token.start : token.end], text[token.end : end], compared[token.end : end])
        for token, end in zip(tokens, _ends(tokens, text), strict=True)
    ]


def _ends(tokens: list[FlagToken], text: str) -> list[int]:
    """Return where the text after each flag ends: at the next flag, or the end of the text."""
    return [token.start for token in tokens[1:]] + [len(text)] * min(len(tokens), 1)


def _is_meant(token: FlagToken, rest: str) -> bool:
    """Return whether a name after a dash is a flag: if it is known, and what follows may be its value."""
    if token.name in MIDJOURNEY_FLAGS:
        foreign = _foreign_value(token.name, rest)
        return any(letter.isdigit() for letter in foreign) or not rest[len(foreign) :].strip()
    option = EDIT_FLAGS.get(SAME_AS.get(token.name, token.name))
    word = _WORD.search(rest)
    if option is None or word is None or option.rest_of_text:
        return option is not None
    value = _read_value(option, rest, rest)
    if value.value is not None:
        return value.end > 0
    return any(letter.isdigit() for letter in word[0])


def _foreign_value(name: str, rest: str) -> str:
    """Return the part of the rest that is the value of a flag that is unknown here."""
    match = MIDJOURNEY_FLAGS.get(name, _OTHER_VALUE).match(rest)
    return match[0] if match is not None else ""


def _read_value(option: Option[Any], rest: str, plain_rest: str) -> _Value:
    start = _BEFORE_VALUE.match(plain_rest).end()  # type: ignore[union-attr]  # matches the empty text too
    if option.rest_of_text:
        text = rest[start:].strip()
        return _Value(option.parse(text), text, len(rest))
    word = _WORD.match(plain_rest, start)
    for text, length in value_candidates(word[0]) if word is not None else ():
        value = option.parse(text)
        if value is not None:
            return _Value(value, text, start + length)
    if option.alone is not None:
        return _Value(option.alone, "", 0)
    return _Value(None, word[0] if word is not None else "", word.end() if word is not None else start)


def _similar(written: _Written, flags: Flags) -> str | None:
    """Return the flag that is meant by an unknown one: a similar or synonymous name that takes this value."""
    name = written.token.name
    same = SAME_AS.get(name)
    flag = same if same is not None else _close_name(name, tuple(flags))
    option = flags.get(flag) if flag is not None else None
    if option is None or _read_value(option, written.rest, written.plain_rest).value is None:
        return None
    return flag


@lru_cache(maxsize=1024)
def _close_name(name: str, names: tuple[str, ...]) -> str | None:
    """Return the name that is most like this one; None if none is. Cached: difflib is slow for many flags."""
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_SIMILAR)), None)


class _Reader:
    """Reads the flags of one prompt from left to right, and collects what is wrong with them."""

    def __init__(self, options: ImageOptions, flags: Flags, rules: FlagRules, named: set[str]) -> None:
        self._options = options
        self._flags = flags
        self._rules = rules
        self._faults = FlagFaults(rules.title, [name for name in flags if rules.is_offered(flags[name])], rules.note)
        self._named = named
        self._changes: dict[str, Any] = {}
        self._prose: list[str] = []
        self._kept: list[tuple[bool, str]] = []

    def read_given(self) -> None:
        """Leave out the options beside the prompt that the model does not take."""
        for option in OPTIONS:
            value = getattr(self._options, option.name)
            if value is None or option.offered is None:  # what every model offers is checked with its range
                continue
            if not self._rules.is_offered(option) and not self._rules.is_allowed(option, value):
                self._faults.not_offered.append((option.name, self._rules.instead(option)))
                left_out: dict[str, Any] = {option.name: None}
                self._options = replace(self._options, **left_out)

    def read(self, written: _Written) -> None:
        name = written.token.name
        option = self._flags.get(name)
        if option is None:
            self._read_unknown(written)
            return
        value = _read_value(option, written.rest, written.plain_rest)
        if not self._rules.is_offered(option) and not self._rules.is_allowed(option, value.value):
            self._faults.not_offered.append((name, self._rules.instead(option)))
            self._leave_out(written, value.end)
        elif value.value is None or not self._rules.is_allowed(option, value.value):
            self._faults.add_wrong_value(name, self._rules.takes(option), value.shown)
        elif self._is_given(option):
            self._faults.add_given_twice(name)
        else:
            self._keep(written, option, value, written.text)

    def result(self, before: str) -> ImageOptions:
        """Return the options as changed. ``before`` is the text before the first flag. Raises as :func:`read_flags`."""
        prose = [part.strip() for part in [before, *self._prose] if part.strip()]
        sentence = self._faults.sentence()
        if not sentence:
            # Without a flag the text stays as it is.
            return replace(self._options, prompt=" ".join(prose), **self._changes) if self._prose else self._options
        if not self._faults.left_out and not self._faults.similar:
            raise InvalidRequest(sentence)
        if self._faults.wrong or not prose:
            raise RequestRefused(sentence)
        # A value that extends to the next flag must not swallow the prose after a flag that is left out.
        kept = [text for _, text in sorted(self._kept, key=lambda each: each[0])]
        options = replace(self._options, prompt=" ".join([*prose, *kept]))
        raise RequestRefused(sentence, Alternative(self._faults.label(), options))

    def _read_unknown(self, written: _Written) -> None:
        name, faults = written.token.name, self._faults
        flag = _similar(written, self._flags)
        if name in MIDJOURNEY_FLAGS:
            faults.midjourney.append(name)
        elif flag is not None and self._flags[flag].name not in self._named and not self._is_given(self._flags[flag]):
            self._read_similar(written, flag)
            return
        elif name in EDIT_FLAGS and EDIT_FLAGS[name].edits_only:
            faults.edits_only.append(name)
            self._leave_out(written, _read_value(EDIT_FLAGS[name], written.rest, written.plain_rest).end)
            return
        else:
            faults.unknown.append(name)
        self._leave_out(written, len(_foreign_value(name, written.plain_rest)))

    def _read_similar(self, written: _Written, flag: str) -> None:
        """Read an unknown flag as this known one. What would be refused as that is refused now, and not offered."""
        name, option = written.token.name, self._flags[flag]
        value = _read_value(option, written.rest, written.plain_rest)
        if self._rules.is_allowed(option, value.value):
            self._faults.similar.append((name, flag))
            self._keep(written, option, value, f"--{flag}")
        elif not self._rules.is_offered(option):
            self._faults.not_offered.append((name, self._rules.instead(option)))
            self._leave_out(written, value.end)
        else:
            self._faults.similar.append((name, flag))
            self._faults.add_wrong_value(flag, self._rules.takes(option), value.shown)

    def _keep(self, written: _Written, option: Option[Any], value: _Value, flag: str) -> None:
        self._changes[option.name] = value.value
        self._kept.append((option.rest_of_text, flag + written.rest[: value.end].rstrip()))
        self._leave_out(written, value.end)

    def _leave_out(self, written: _Written, value_end: int) -> None:
        """Keep as prose what follows the flag's value."""
        self._prose.append(written.rest[after_punctuation(written.plain_rest, value_end) :])

    def _is_given(self, option: Option[Any]) -> bool:
        return option.name in self._changes or getattr(self._options, option.name) is not None
