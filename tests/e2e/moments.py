"""The moments at which the bot dies or is stopped: around each change of a job's state, each request, and at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

WRITES = (
    "open_card",
    "sent",
    "_insert",
    "card_shown",
    "started",
    "image_ended",
    "rendered",
    "delivering",
    "delivered",
    "ended",
    "card_ended",
    "recover",
)
"""The names of the functions that write the changes of a job's state, and of its card's."""
REQUESTS = {
    "first answer": ("POST", "interactions/.*/callback"),
    "post": ("POST", r"channels/\d+/messages"),
    "card edited": ("PATCH", r"(webhooks|channels)/.*"),
    "card deleted": ("DELETE", r"(webhooks|channels)/.*"),
}
_COUNT_MAX = 2
_ONCE = ("recover", "ended", "open_card", "sent")
"""Writes that a life of the bot may make only once."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a life of the bot ends.

    ``write`` and ``request``: before or after the ``count``-th one of that name; ``random``: SIGKILL after a while;
    ``stop``: SIGTERM.
    """

    kind: Literal["write", "request", "random", "stop"]
    name: str = ""
    when: Literal["before", "after"] = "before"
    count: int = 1

    @property
    def title(self) -> str:
        return f"{self.when} {self.kind} {self.name}" if self.name else self.kind

    @property
    def crash(self) -> str | None:
        """The launcher's ``CRASH``. None if the bot does not kill itself."""
        return f"{self.when}:{self.name}:{self.count}" if self.kind == "write" else None


def moments(randomness: random.Random) -> Iterator[Moment]:
    """Return all moments in random order, again and again; every third is a SIGKILL or SIGTERM at random."""
    while True:
        around = [("write", name) for name in WRITES] + [("request", name) for name in REQUESTS]
        fixed = [(kind, name, when) for kind, name in around for when in ("before", "after")]
        randomness.shuffle(fixed)
        for index, (kind, name, when) in enumerate(fixed):
            count = 1 if name in _ONCE else randomness.randint(1, _COUNT_MAX)
            yield Moment(kind, name, when, count)  # type: ignore[arg-type]
            if index % 2:
                yield Moment("stop" if index % 4 == 1 else "random")
