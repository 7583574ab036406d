"""The lock under which a database is migrated. Blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from bot.errors import TemporaryFault
from bot.store.faults import explained

_WAIT_SECONDS = 60.0


@contextlib.contextmanager
def no_other_migrates(path: Path) -> Iterator[None]:
    """Let one process at a time migrate the database at ``path``.

    The system frees the lock of a process that was killed; yoyo's own lock is a row, which would stay for ever. Raises
    :class:`StartupError` if the lock cannot be made, or another process still has it after a minute.
    """
    lock_path = path.with_name(f"{path.name}-migrating")
    lock = filelock.FileLock(lock_path, thread_local=False)
    with explained(path):
        try:
            lock.acquire(timeout=_WAIT_SECONDS)
        except filelock.Timeout as error:
            raise TemporaryFault(f"Another zimage-bot is migrating {path}: wait until it has ended.") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open files
            lock_path.unlink()
        lock.release()
