"""How many tokens a caption or a picture comes to in the transformer. Free of torch."""

from __future__ import annotations

TOKEN_MULTIPLE = 32


def padded(tokens: int) -> int:
    """Image tokens and caption tokens are each padded to a multiple of 32 before they are joined."""
    return -(-tokens // TOKEN_MULTIPLE) * TOKEN_MULTIPLE
