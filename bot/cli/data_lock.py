"""The lock that a running bot holds on its data folder, for commands that must not run beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from bot.errors import TemporaryFault
from bot.store.faults import explained


@contextmanager
def no_bot_on(data_dir: Path) -> Iterator[None]:
    """Keep the bot from being started on a data folder.

    Raises :class:`TemporaryFault` if one runs, and :class:`StartupError` if the folder cannot be written.
    """
    path = data_dir / "lock"
    lock = filelock.FileLock(path, thread_local=False)
    with explained(path):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise TemporaryFault(f"A zimage-bot is running on {data_dir}: stop it first.") from error
    try:
        yield
    finally:
        lock.release()
