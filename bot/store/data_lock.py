"""The lock that a running bot holds on its data folder."""

from __future__ import annotations

from pathlib import Path

import filelock


def data_lock(data_dir: Path) -> filelock.FileLock:
    """Return the lock of a data folder, not acquired yet. The system frees it when its process ends."""
    return filelock.FileLock(data_dir / "lock", thread_local=False)


def is_in_use(data_dir: Path) -> bool:
    """Return whether a bot runs on a data folder. Creates nothing; blocks."""
    lock = data_lock(data_dir)
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


def in_use(data_dir: Path) -> str:
    """Return the sentence for a second bot on a data folder."""
    return f"Another zimage-bot already uses {data_dir}: stop it first, or set another DATA_DIR."
