"""An executor on another machine, or on this one, through Ray. Imports no Ray: its child process does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from zimage_engine.cluster.actor import Assignment
from zimage_engine.cluster.bridge import load_actor
from zimage_engine.cluster.config import Seat
from zimage_engine.cluster.fingerprint import PACKAGE, Fingerprint
from zimage_engine.cluster.link import RayLink
from zimage_engine.config import EngineConfig
from zimage_engine.device.child import Loaded
from zimage_engine.places import DevicePlace
from zimage_engine.process_executor import ProcessExecutor
from zimage_engine.shared_pixels import SharedPixels
from zimage_engine.types import NotAvailable
from zimage_engine.weights import Report

log = logging.getLogger(__name__)

Check = Callable[[Fingerprint, str], str | None]
"""Returns the sentence that refuses a worker with this fingerprint on this machine; None if it may work."""


class RayExecutor(ProcessExecutor):
    """Executes plans in an actor of a Ray cluster, through a child process that is connected to the cluster.

    The child passes plans and results on. The actor ends with it, and so it does when this process ends in any way.
    """

    def __init__(self, config: EngineConfig, place: DevicePlace, link: RayLink, seat: Seat, check: Check) -> None:
        level = logging.getLogger().getEffectiveLevel()
        assignment = Assignment(config, place, PACKAGE, level)
        pixels = max(profile.max_pixels for profile in config.profiles)
        super().__init__(partial(load_actor, link, seat, assignment), pixels)
        self._check = check
        self._place = place
        self._seat = seat

    def _handle(self, message: object, shared: SharedPixels, report: Report) -> None:
        if isinstance(message, str) and self._tickets.loaded.done():
            return  # a stage of loading that came with later news
        if not isinstance(message, Fingerprint):
            super()._handle(message, shared, report)
            if isinstance(message, Loaded):
                log.info("loaded: device=%s", self._place.name)
        elif (sentence := self._check(message, self._seat.title)) is not None:
            self._lose(NotAvailable(sentence))
