"""The figures that a bot started by ``tests/load/launch_bot.py`` writes of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LAST = 3


@dataclass(frozen=True)
class Sample:
    """The figures at one moment; see :func:`tests.load.launch_bot.sample`."""

    at: float
    rss: int
    handles: int
    threads: int
    tasks: int
    cpu: float
    lag: float
    by_thread: dict[str, float]


def read_samples(path: Path) -> list[Sample]:
    """Return all samples that are written in full, oldest first; none while there is no file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [Sample(**json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]


def at_end(samples: Sequence[Sample]) -> Sample:
    """Return the sample of the last ones that has the fewest tasks: one taken while nothing went on."""
    return min(samples[-_LAST:], key=lambda sample: sample.tasks)
