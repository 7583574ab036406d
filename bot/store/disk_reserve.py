"""Room on the disk that is kept for the database, so that jobs can be ended when everything else is full."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

RESERVE_BYTES = 8 * 2**20
_ADVICE = "The disk is full: make room. No new requests are taken until there is some."


class DiskReserve:
    """A file of 8 MiB of zeros, which is deleted when the database needs its room. Methods block.

    ``spent`` is True from when the room was needed, or was not there, until it is held again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.spent = False

    def hold(self) -> bool:
        """Take the room, unless it is held. Returns False if it is not there."""
        with self._lock:
            self.spent = not self._take()
            return not self.spent

    def release(self) -> bool:
        """Give the room to whoever writes next. Returns False if it was not held."""
        with self._lock:
            self.spent = True
            try:
                self._path.unlink()
            except OSError:
                return False
        log.error("disk_full", advice=_ADVICE)
        return True

    def _take(self) -> bool:
        try:
            if self._path.exists() and self._path.stat().st_size == RESERVE_BYTES:
                return True
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                _allocate(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return False
        return True


def _allocate(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    else:  # macOS and Windows
        os.write(descriptor, bytes(RESERVE_BYTES))
        os.fsync(descriptor)
