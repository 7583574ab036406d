"""Which texts the worker has encoded and, as far as is known, still holds. Free of torch."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

EMBEDDINGS_MAX = 1000
"""The most embeddings that a worker holds."""

TextKey = tuple[str, bytes]
"""A scope and the digest of a text."""


def text_key(scope: str, text: str) -> TextKey:
    """Return the key of a text of this scope, from which the text cannot be read."""
    return scope, blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class KnownPrompts:
    """The keys of the texts whose embeddings need not be computed again; the least recently used beyond ``count`` drop.

    A worker may drop embeddings earlier, to free memory: then a prediction is too low by one text.
    """

    def __init__(self, count: int = EMBEDDINGS_MAX) -> None:
        self._count = count
        self._keys: OrderedDict[TextKey, None] = OrderedDict()

    def add(self, scope: str, text: str) -> bool:
        """Add a text, or mark it as used. Returns True if it was known."""
        key = text_key(scope, text)
        known = key in self._keys
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._count:
            self._keys.popitem(last=False)
        return known

    def forget(self, scope: str) -> None:
        """Drop all texts of a scope."""
        for key in [key for key in self._keys if key[0] == scope]:
            del self._keys[key]

    def clear(self) -> None:
        self._keys.clear()
