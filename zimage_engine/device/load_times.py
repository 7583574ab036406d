"""Remembers how long it took to load models, also from one start to the next. Free of torch."""

from __future__ import annotations

from pathlib import Path

from zimage_engine.device.cached_json import read_cached, write_cached

_FILE = "loads.json"
_BYTES_A_SECOND = 5e8
"""How fast weights are loaded as long as none have been: about what a SATA disk reads."""


class LoadTimes:
    """The seconds of the last load by name, and the bytes that were read for it. Kept in ``cache_dir``, if given."""

    def __init__(self, cache_dir: Path | None) -> None:
        self._path = None if cache_dir is None else cache_dir / _FILE
        self._times = {name: entry for name, entry in read_cached(self._path).items() if _is_valid(entry)}

    def expected(self, name: str, size: int) -> float:
        """Return the seconds that reading ``size`` bytes may take: by the last load of that name, else by another."""
        if not self._times:
            return size / _BYTES_A_SECOND
        read, seconds = self._times.get(name) or next(reversed(self._times.values()))
        return float(seconds * size / read)

    def note(self, name: str, size: int, seconds: float) -> None:
        """Remember a load of so many bytes; one that read nothing says nothing."""
        if size <= 0:
            return
        self._times.pop(name, None)
        self._times[name] = [size, seconds]
        write_cached(self._path, read_cached(self._path) | {name: [size, seconds]})


def _is_valid(entry: object) -> bool:
    """Return whether an entry of the file is ``[bytes, seconds]``."""
    match entry:
        case [int(size), float() | int()]:
            return size > 0
    return False
