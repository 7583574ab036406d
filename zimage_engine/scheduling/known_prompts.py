"""Which texts each device has encoded, as far as is known, and which are still to be encoded. Free of torch."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from zimage_engine.scheduling.tokens import text_tokens

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

    def __contains__(self, key: TextKey) -> bool:
        return key in self._keys

    def use(self, key: TextKey) -> bool:
        """Return True if the text is known, and count it as just used."""
        if key not in self._keys:
            return False
        self._keys.move_to_end(key)
        return True

    def add(self, key: TextKey) -> None:
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._count:
            self._keys.popitem(last=False)

    def forget(self, scope: str) -> None:
        """Drop all texts of a scope."""
        for key in [key for key in self._keys if key[0] == scope]:
            del self._keys[key]

    def clear(self) -> None:
        self._keys.clear()


@dataclass(slots=True)
class _Texts:
    """The texts of one request: estimated tokens by key, and which of them no device has encoded yet."""

    tokens: dict[TextKey, int]
    missing: set[TextKey] = field(default_factory=set)


class TextTracker:
    """The texts of the requests in a queue. Requests with the same text of the same scope need it encoded once.

    That is so on each device. A request that has no device yet is expected to come to one that has encoded its texts.
    """

    def __init__(self) -> None:
        self._known: dict[str, KnownPrompts] = {}
        self._requests: dict[str, _Texts] = {}
        self._waiting: defaultdict[TextKey, set[str]] = defaultdict(set)

    def add_device(self, device: str) -> None:
        """Add a device, which has encoded nothing."""
        self._known[device] = KnownPrompts()

    def remove_device(self, device: str) -> None:
        """Remove a device that has encoded nothing, or has dropped it (:meth:`clear`)."""
        del self._known[device]

    def add(self, request_id: str, scope: str, texts: Iterable[str]) -> None:
        """Add a request. The empty text belongs to no scope."""
        tokens = {text_key(scope if text else "", text): text_tokens(text) for text in texts}
        self._requests[request_id] = _Texts(tokens)
        self._find_missing(request_id)

    def remove(self, request_id: str) -> None:
        """Remove a request that has ended; ignores unknown ids."""
        texts = self._requests.pop(request_id, None)
        for key in texts.missing if texts is not None else ():
            self._stop_waiting(key, request_id)

    def new_tokens(self, request_id: str, device: str | None = None) -> tuple[int, ...]:
        """Return the estimated tokens of each text of the request that is still to be encoded.

        That is, on ``device``; by default those that no device has encoded.
        """
        texts = self._requests[request_id]
        if device is None:
            return tuple(texts.tokens[key] for key in texts.missing)
        known = self._known[device]
        return tuple(tokens for key, tokens in texts.tokens.items() if key not in known)

    def keys(self, request_id: str) -> frozenset[TextKey]:
        """Return the keys of the request's texts."""
        return frozenset(self._requests[request_id].tokens)

    def encoded(self, request_id: str, device: str) -> set[str]:
        """Record that a device has encoded the request's texts. Returns the requests with fewer to be encoded now."""
        changed: set[str] = set()
        for key in self._requests[request_id].tokens:
            self._known[device].add(key)
            for other in self._waiting.pop(key, ()):
                self._requests[other].missing.discard(key)
                changed.add(other)
        return changed

    def forget(self, scope: str) -> set[str]:
        """Record that a scope's texts are to be encoded again. Returns the requests with such texts."""
        for known in self._known.values():
            known.forget(scope)
        return self._find_all_missing(scope)

    def clear(self, device: str) -> set[str]:
        """Record that a device has to encode all texts again. Returns all requests."""
        self._known[device].clear()
        return self._find_all_missing()

    def _find_all_missing(self, scope: str | None = None) -> set[str]:
        changed = {
            name
            for name, texts in self._requests.items()
            if scope is None or any(of_scope == scope for of_scope, _ in texts.tokens)
        }
        for name in changed:
            self._find_missing(name)
        return changed

    def _find_missing(self, request_id: str) -> None:
        texts = self._requests[request_id]
        texts.missing = {key for key in texts.tokens if not self._use(key)}
        for key in texts.missing:
            self._waiting[key].add(request_id)

    def _use(self, key: TextKey) -> bool:
        """Return True if a device knows the text, and count it as just used on each that does."""
        found = [known.use(key) for known in self._known.values()]
        return any(found)

    def _stop_waiting(self, key: TextKey, request_id: str) -> None:
        self._waiting[key].discard(request_id)
        if not self._waiting[key]:
            del self._waiting[key]
