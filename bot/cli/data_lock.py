"""For commands that must not run beside a bot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from bot.errors import TemporaryFault
from bot.store.data_lock import data_lock
from bot.store.faults import explained


@contextmanager
def no_bot_on(data_dir: Path) -> Iterator[None]:
    """Keep the bot from being started on a data folder.

    Raises :class:`TemporaryFault` if one runs, and :class:`StartupError` if the folder cannot be written.
    """
    lock = data_lock(data_dir)
    with explained(Path(lock.lock_file)):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise TemporaryFault(f"A zimage-bot is running on {data_dir}: stop it first.") from error
    try:
        yield
    finally:
        lock.release()
