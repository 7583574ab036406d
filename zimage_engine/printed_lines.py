"""A stream for what libraries print: every whole line goes to a function, progress bars go nowhere."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from typing import TextIO

_BAR = re.compile(r"\d+%\|")


class PrintedLines(io.TextIOBase):
    """Passes each line that is written on to ``take``, without its end, and drops progress bars and empty lines.

    ``real`` is the stream that it stands for, with its file number. What ``take`` itself prints is dropped.
    """

    def __init__(self, real: TextIO, take: Callable[[str], object]) -> None:
        self.real = real
        self._take = take
        self._of_thread = threading.local()

    def write(self, text: str) -> int:
        """Take whole lines; the rest is kept until its line ends. A carriage return overwrites what is before it."""
        *lines, rest = (getattr(self._of_thread, "rest", "") + text).split("\n")
        self._of_thread.rest = rest.rpartition("\r")[2]
        for line in lines:
            shown = line.rstrip("\r").rpartition("\r")[2].strip()
            if shown and not _BAR.search(shown) and not getattr(self._of_thread, "busy", False):
                self._of_thread.busy = True
                try:
                    self._take(shown)
                finally:
                    self._of_thread.busy = False
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        """Return the number of the real file, for child processes and for ``faulthandler``."""
        return self.real.fileno()
