"""How many tokens texts and images become in the text encoder and in the transformer. Free of torch."""

from __future__ import annotations

import math
import unicodedata

TOKEN_MULTIPLE = 32

PROMPT_TOKENS_MAX = 512
"""The most tokens of a text; what is longer is cut off."""

_TEMPLATE_TOKENS = 8
_LETTERS_PER_TOKEN = 4
_PIECES_AROUND_INSTRUCTION = 2


def padded(tokens: int) -> int:
    """Round up to a multiple of 32, as the transformer pads image tokens and caption tokens before it joins them."""
    return -(-tokens // TOKEN_MULTIPLE) * TOKEN_MULTIPLE


def text_tokens(text: str) -> int:
    """Estimate the tokens of a prompt with its chat template, without the tokenizer.

    Qwen's vocabulary has about one token for 4 letters of English, for 2 of another alphabet, and for each wide
    character (Chinese, Japanese, Korean, emoji).
    """
    ascii_letters, wide = len(text), 0
    if not text.isascii():
        ascii_letters = sum(character.isascii() for character in text)
        wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    other = len(text) - ascii_letters - wide
    tokens = _TEMPLATE_TOKENS + wide + math.ceil((ascii_letters + 2 * other) / _LETTERS_PER_TOKEN)
    return min(tokens, PROMPT_TOKENS_MAX)


def instruction_image_tokens(image_tokens: int, patches: int) -> int:
    """Return the tokens that the image of an edit by instruction adds to those of the generated picture.

    They are the image's latents, SigLIP's ``patches``, and a padded empty place for SigLIP's view of the answer.
    """
    return padded(image_tokens) + padded(patches) + TOKEN_MULTIPLE


def instruction_tokens(image_tokens: int, patches: int) -> int:
    """Return all that an edit by instruction adds to prompt and picture: its image, and the pieces around the text."""
    return _PIECES_AROUND_INSTRUCTION * TOKEN_MULTIPLE + instruction_image_tokens(image_tokens, patches)
