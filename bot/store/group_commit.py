"""Writes that wait for the same flush of the disk: many of them in one transaction, each as if it had its own.

A flush takes longer than a dozen writes. Where one write waits, it has a transaction of its own.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

_MOST = 32
"""The most writes of a transaction: who comes next waits for all of them."""


class Write:
    """A write that waits for its turn: ``function`` gets the connection. ``dropped``: nobody waits for it any more."""

    def __init__(self, function: Callable[[sqlite3.Connection], Any]) -> None:
        self.function = function
        self.done = self.dropped = False
        self.value: Any = None
        self.error: BaseException | None = None

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.value


class GroupCommit:
    """The waiting writes of one connection. ``alone`` runs a function in a transaction of its own."""

    def __init__(self, alone: Callable[[Callable[[sqlite3.Connection], Any]], Any]) -> None:
        self._alone = alone
        self._waiting: deque[Write] = deque()

    def add(self, write: Write) -> None:
        """Let a write wait. Call :meth:`run` once for it afterwards, on the connection's thread, in the same order."""
        self._waiting.append(write)

    def run(self, write: Write) -> None:
        """Do the write unless it was done with another: with those that wait behind it. Blocks."""
        if write.done:
            return
        group: list[Write] = []
        while self._waiting and len(group) < _MOST:
            waiting = self._waiting.popleft()
            if not waiting.dropped or waiting is write:
                group.append(waiting)
        if len(group) == 1 or not self._together(group):
            for each in group:
                self._one(each)

    def _one(self, write: Write) -> None:
        try:
            write.value, write.error = self._alone(write.function), None
        except BaseException as error:  # noqa: BLE001 - raised where the write is awaited
            write.value, write.error = None, error
        write.done = True

    def _together(self, group: list[Write]) -> bool:
        """Do all writes in one transaction; one that raises is undone alone. Returns False if nothing was written."""
        try:
            self._alone(partial(_each, group))
        except Exception:  # noqa: BLE001 - a full disk, for example: each write finds out for itself
            return False
        for each in group:
            each.done = True
        return True


def _each(group: list[Write], connection: sqlite3.Connection) -> None:
    """Do the writes one after another in a transaction. Raises what may have ended the whole transaction."""
    for each in group:
        each.error = None
        connection.execute("SAVEPOINT one")
        try:
            each.value = each.function(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - raised where the write is awaited
            each.error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
