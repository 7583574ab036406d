"""Counts the tokens of a prompt as the model does: with its chat template, by its own tokenizer. Free of torch."""

from __future__ import annotations

import logging
import unicodedata
from typing import Any

from zimage_engine.profiles import ModelProfile
from zimage_engine.scheduling.tokens import PROMPT_TOKENS_MAX
from zimage_engine.types import ModelNotFound
from zimage_engine.weights import tokenizer_file

log = logging.getLogger(__name__)

_CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
"""Qwen3's chat template for one message, as the text encoder gets it."""

_TEMPLATE_TOKENS = 8

_SLICE = 512
"""The characters that are counted at a time: what makes many tokens takes long, and 512 tokens are enough to stop."""

_CUT_TOKENS = 2
"""The most tokens that a cut between two slices is taken to add."""


class PromptTokens:
    """Counts tokens with a ``tokenizers.Tokenizer``; without one, it returns an upper bound."""

    def __init__(self, tokenizer: Any | None = None) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, profile: ModelProfile) -> PromptTokens:
        """Load the tokenizer of a model, which is downloaded if the profile's weights are a hub id (11 MB).

        Blocks, and holds the interpreter's lock for up to 2 seconds: call it while nobody waits for an answer. If the
        tokenizer cannot be had, that is logged and the lengths are upper bounds.
        """
        from tokenizers import Tokenizer  # noqa: PLC0415 - slow to import

        try:
            return cls(Tokenizer.from_file(str(tokenizer_file(profile))))
        except ModelNotFound as error:
            log.warning("prompts are taken to be as long as they can be: %s", error)
        except Exception as error:  # noqa: BLE001 - the library raises plain exceptions for a damaged file
            log.warning("prompts are taken to be as long as they can be: the tokenizer cannot be read (%s)", error)
        return cls()

    def count(self, text: str) -> int:
        """Return the tokens of a prompt, up to 512: the model reads no more.

        The upper bound is that of a tokenizer that works on bytes: one token for each byte of the normalised text.
        """
        if self._tokenizer is None:
            return min(PROMPT_TOKENS_MAX, _TEMPLATE_TOKENS + len(unicodedata.normalize("NFC", text).encode()))
        if self._is_cut_off(text):
            return PROMPT_TOKENS_MAX
        return min(PROMPT_TOKENS_MAX, self._encoded(_CHAT.format(text)))

    def _is_cut_off(self, text: str) -> bool:
        """Return whether a long text certainly has more tokens than the model reads; stops at the first 512."""
        if len(text) <= _SLICE:
            return False
        tokens = 0
        for start in range(0, len(text), _SLICE):
            tokens += self._encoded(text[start : start + _SLICE]) - _CUT_TOKENS
            if tokens >= PROMPT_TOKENS_MAX:
                return True
        return False

    def _encoded(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)  # type: ignore[union-attr]
