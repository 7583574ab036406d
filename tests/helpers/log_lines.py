"""Log lines as the operator reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_OURS = ("bot.", "zimage_engine.")


class Line(NamedTuple):
    """A line: its level, its ``text`` with all that the formatter adds, and what our own code handed over for it."""

    level: int
    text: str
    handed_over: str


class _Keeping(logging.Handler):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.getMessage() if record.name.startswith(_OURS) else ""
        self.lines.append(Line(record.levelno, self.format(record), ours))


@contextmanager
def kept_lines() -> Iterator[list[Line]]:
    """Keep what is logged in the block, written by the formatter that :func:`bot.logs.configure_logging` has set."""
    root = logging.getLogger()
    (configured,) = [handler for handler in root.handlers if handler.get_name() == "zimage-bot"]
    assert configured.formatter is not None
    keeping = _Keeping(configured.formatter)
    root.addHandler(keeping)
    try:
        yield keeping.lines
    finally:
        root.removeHandler(keeping)
