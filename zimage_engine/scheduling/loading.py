"""When a device loads another model: the seconds that it takes count as work of the request for which it is loaded.

A device serves the models that it holds. It loads one that requests wait for if no other device has it or is loading
it, or if so much work waits for the devices that have it that another one ends all of it sooner by more than it takes
to load. In both cases only for a request that would lead here with the seconds of loading added to its work, and only
when the device has finished what it has begun, so that no request is left half done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zimage_engine.scheduling.devices import Device
from zimage_engine.scheduling.order import Waiting, share_of
from zimage_engine.scheduling.shares import Share
from zimage_engine.scheduling.tasks import Task

if TYPE_CHECKING:
    from zimage_engine.scheduling.scheduler import Scheduler

_HANDICAP = 2.0
"""How often the seconds of loading count when a request that needs it is compared with one that does not.

They are charged once. With 2 a device that is always asked for two models, and has room for one, spends at most about a
quarter of its time on loading.
"""


def wanted(scheduler: Scheduler, device: Device, own: Task | None) -> Task | None:
    """Return the task for which the device is to load a model rather than go on with ``own``; None if there is none."""
    best = None
    for model in sorted(device.allowed - device.models):
        waiting = scheduler.waiting.of(frozenset({model}))
        if scheduler.root not in waiting.queues:
            continue
        task = waiting.head(scheduler.root)
        first = best or own
        if (first is None or _leads(device, task, first)) and _pays(scheduler, device, waiting, model):
            best = task
    return best


def load_seconds(device: Device, model: str) -> float:
    """Return the reference seconds of loading a model."""
    return 0.0 if model in device.models else device.load_seconds.get(model, 0.0) / device.pace.get(model, 1.0)


def _leads(device: Device, task: Task, other: Task) -> bool:
    """Return True if a task leads another one here, both with the seconds of loading their models."""
    added, other_added = (_HANDICAP * load_seconds(device, each.model) for each in (task, other))
    share, other_share = share_of(task), share_of(other)
    levels = ((share.parent, other_share.parent), (share, other_share))
    for level, other_level in levels:
        if level is not other_level:
            assert level is not None
            assert other_level is not None
            return _tag(device, level, task, added) < _tag(device, other_level, other, other_added)
    return task.added_at + task.remaining + added < other.added_at + other.remaining + other_added


def _tag(device: Device, share: Share, task: Task, added: float) -> float:
    booked = share.booked - device.pinned.booked.get(share, 0.0) if task.pinned is None else 0.0
    return (share.work + booked + task.remaining + added) / share.weight


def _pays(scheduler: Scheduler, device: Device, waiting: Waiting, model: str) -> bool:
    """Return True if no other device has the model, or what waits for it takes long enough.

    With n that have it, work W ends after W ÷ n seconds; with one more after (W + L) ÷ (n + 1), as loading takes L. The
    difference is more than L if W > n · (n + 2) · L.
    """
    having = sum(other.has(model) for other in scheduler.devices.values() if other is not device)
    enough, work = having * (having + 2) * load_seconds(device, model), 0.0
    if not having:
        return True
    for queue in waiting.queues.values():
        for _, _, item in queue:
            if isinstance(item, Share):
                break
            work += item.remaining
            if work > enough:
                return True
    return False
