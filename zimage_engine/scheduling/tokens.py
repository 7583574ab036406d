"""How many tokens a caption or an image becomes in the transformer. Free of torch."""

from __future__ import annotations

TOKEN_MULTIPLE = 32


def padded(tokens: int) -> int:
    """Round up to a multiple of 32, as the transformer pads image tokens and caption tokens before it joins them."""
    return -(-tokens // TOKEN_MULTIPLE) * TOKEN_MULTIPLE
