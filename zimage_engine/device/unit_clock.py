"""Measures how long a device is busy with a unit, without making the processor wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class UnitClock:
    """Started when it is created; :meth:`end` says that all of the unit's work was given to the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        if self._cuda:
            events: Any = torch.cuda.Event
            self._first, self._last = events(enable_timing=True), events(enable_timing=True)
            self._first.record(torch.cuda.current_stream(device))
        self._began = time.perf_counter()
        self._seconds = 0.0

    def end(self) -> None:
        """Mark the end of the unit. On other devices than CUDA, this waits for it."""
        if self._cuda:
            self._last.record(torch.cuda.current_stream(self._device))
            return
        if self._device.type == "mps":
            torch.mps.synchronize()
        self._seconds = time.perf_counter() - self._began

    def wait(self) -> float:
        """Wait for the unit's end; returns the seconds that the device was busy with it."""
        if self._cuda:
            self._last.synchronize()
            self._seconds = self._first.elapsed_time(self._last) / 1000
        return self._seconds


class SideStream:
    """A second stream, on which results are read while the device is already busy with the next unit."""

    def __init__(self, device: torch.device) -> None:
        make_stream: Any = torch.cuda.Stream
        self._stream = make_stream(device) if device.type == "cuda" else None

    @contextmanager
    def use(self) -> Iterator[None]:
        """Run what follows beside the units. It may use what a unit made for which :meth:`UnitClock.wait` returned."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
            # What was used here may be freed, and its memory given to the next unit, from now on.
            self._stream.synchronize()
