"""What the drivers of an engine share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from zimage_engine.config import EngineConfig
from zimage_engine.publisher import Publisher
from zimage_engine.scheduling.queue import RequestQueue
from zimage_engine.stats import Observer, UnitRecord

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Shared:
    """The queue, what tells its events, and whether the engine is about to end.

    ``changed`` is the engine's lock, notified when there may be a plan. ``on_progress`` is called after each plan. With
    ``closing`` no request is taken any more; unless ``draining``, drivers end after the plans that are launched.
    """

    config: EngineConfig
    queue: RequestQueue
    publisher: Publisher
    changed: threading.Condition
    on_progress: Callable[[], None]
    observer: Observer | None = None
    closing: bool = False
    draining: bool = False

    @property
    def is_empty(self) -> bool:
        """True if every request has ended. Called with the lock held."""
        return not self.queue.waiting + self.queue.running

    def remove_device(self, name: str) -> None:
        """Have what a device has begun begin again elsewhere. Called with the lock held."""
        self.publisher.publish(self.queue.remove_device(name))
        self.changed.notify_all()

    def observe(self, record: UnitRecord, device: str, model: str) -> None:
        """Tell the observer of a unit of this device; what it raises is logged."""
        if self.observer is None:
            return
        try:
            self.observer(replace(record, device=device, model=model or self.config.profile.name))
        except Exception:
            log.exception("the observer of units broke")
