"""The scheduler's order of one moment, to be read and run forward without the engine's lock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from zimage_engine.scheduling.devices import Device
from zimage_engine.scheduling.order import Pinned, share_of
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Task
from zimage_engine.scheduling.view import View


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The order, and copies of the tasks that come next with the devices that have begun them.

    Meters and what remains of later tasks are read when they are used. They may be a unit ahead by then, which makes
    no difference to a forecast.
    """

    scheduler: Scheduler
    order: View
    devices: tuple[tuple[Pinned, Device], ...]
    first: tuple[tuple[Task, Pinned | None], ...]

    @classmethod
    def of(cls, scheduler: Scheduler, count: int) -> Snapshot:
        """Return a scheduler's order, with copies of all that have begun and of ``count`` other tasks."""
        order = scheduler.copy_order()
        begun = [task for device in scheduler.devices.values() for task in device.pinned.tasks.values()]
        waiting = islice((task for task in order.tasks() if task.pinned is None), count)
        return cls(
            scheduler,
            order,
            tuple((device.pinned, device.copy()) for device in scheduler.devices.values()),
            tuple((task.copy(), task.pinned) for task in (*begun, *waiting)),
        )

    def to_run(self) -> Scheduler:
        """Return a scheduler with the copied tasks and their shares. Call it once: the copies are its own then.

        Nothing may be added to it, as it has no other shares.
        """
        copied = Scheduler(self.scheduler.burst)
        copied.devices = {device.name: device for _, device in self.devices}
        for name, device in copied.devices.items():
            if device.loading is not None:
                copied.loaded(name, frozenset({device.loading}))
        devices = dict(self.devices)
        shares = {self.scheduler.root: copied.root}
        for task, pinned in self.first:
            task.share = share_of(task).copy(shares)
            copied.place(task, None if pinned is None else devices[pinned])
        return copied

    def names(self) -> list[str]:
        """Return the ids of all tasks in order."""
        return [task.id for task in self.order.tasks()]
