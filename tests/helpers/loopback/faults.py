"""Faults on demand: how a matching request is answered instead, or what happens around it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.helpers.loopback.calls import Call
from tests.helpers.loopback.errors import ApiError

When = Literal["before", "after"]


@dataclass
class Fault:
    """What happens to requests whose method and whole path match, and for which ``only`` returns True if it is given.

    ``times`` is how often it still happens (None: always), ``rate`` how probable it is each time. ``status``: this is
    answered. ``drop``: the connection breaks before the request took effect, or after it, so that the answer is lost.
    ``seconds``: the answer comes later. ``body`` as bytes replaces the answer's, which may then be no JSON; the request
    has taken effect unless a ``status`` is given.
    """

    method: str
    path: str
    times: int | None = 1
    rate: float = 1.0
    status: int | None = None
    body: dict[str, Any] | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: When | None = None
    seconds: float = 0.0
    only: Callable[[Call], bool] | None = None

    def matches(self, call: Call) -> bool:
        fits = re.fullmatch(self.method, call.method) is not None and re.fullmatch(self.path, call.path) is not None
        return fits and (self.only is None or self.only(call))


class Faults:
    """The faults that are waiting for their request, and the functions that are called around requests."""

    def __init__(self, seed: int = 0) -> None:
        self._waiting: list[Fault] = []
        self._watchers: list[tuple[Fault, When, Callable[[Call], None]]] = []
        self._random = random.Random(seed)

    def add(self, fault: Fault, *, first: bool = False) -> None:
        """Let a fault happen; ``first``: before those that are waiting already."""
        self._waiting.insert(0 if first else len(self._waiting), fault)

    def watch(self, method: str, path: str, when: When, function: Callable[[Call], None], times: int = 1) -> None:
        """Call a function when a request has come, before or after it takes effect; in both cases before its answer."""
        self._watchers.append((Fault(method, path, times), when, function))

    def clear(self) -> None:
        """Forget all that did not happen yet."""
        self._waiting.clear()
        self._watchers.clear()

    def take(self, call: Call) -> Fault | None:
        """Return what happens to this request, the oldest fault first. None if nothing does."""
        for fault in self._waiting:
            if fault.matches(call) and self._random.random() < fault.rate:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
                return fault
        return None

    def notify(self, call: Call, when: When) -> None:
        """Call the functions that watch this request."""
        for watcher in list(self._watchers):
            fault, moment, function = watcher
            if moment == when and fault.times and fault.matches(call):
                fault.times -= 1
                function(call)


def refusal(method: str, path: str, code: int, times: int | None = 1) -> Fault:
    """Return a fault that answers with one of Discord's JSON error codes."""
    error = ApiError(code)
    return Fault(method, path, times, status=error.status, body=error.body())


def rate_limit(
    method: str,
    path: str,
    retry_after: float = 0.2,
    *,
    scope: Literal["user", "shared", "global", "cloudflare"] = "user",
    times: int | None = 1,
) -> Fault:
    """Return a 429. Cloudflare's has no JSON and none of Discord's headers."""
    if scope == "cloudflare":
        return Fault(method, path, times, status=429, body=b"error code: 1015", headers={"Content-Type": "text/plain"})
    is_global = scope == "global"
    headers = {"Via": "1.1 loopback", "X-RateLimit-Scope": scope, "Retry-After": f"{retry_after:g}"}
    if is_global:
        headers["X-RateLimit-Global"] = "true"
    if scope == "user":
        headers |= {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Bucket": "loopback"}
        headers |= {"X-RateLimit-Reset-After": f"{retry_after:g}"}
    body = {"message": "You are being rate limited.", "retry_after": retry_after, "global": is_global}
    return Fault(method, path, times, status=429, body=body, headers=headers)


def redirect(method: str, path: str, to: str, status: int = 302, times: int | None = 1) -> Fault:
    """Return a fault that sends the bot elsewhere, as a captive portal does."""
    return Fault(method, path, times, status=status, body=b"", headers={"Location": to})
