"""When everybody's turn comes: the scheduler's rule run forward on a copy. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable

from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Unit

_BATCHES = 300


def run_forward(scheduler: Scheduler, batches: int = _BATCHES) -> dict[str, float]:
    """Serve ``batches`` batches in a queue apart; the predicted seconds until each task that ends by then has ended."""
    clock, ends, keys = 0.0, dict[str, float](), dict[Hashable, Hashable]()
    for _ in range(batches):
        batch = scheduler.next()
        if batch is None:
            break
        # Who leads goes on leading until somebody of the batch has taken the last step.
        times = min(task.steps_left for task in batch.tasks) if batch.unit is Unit.DENOISE else 1
        clock += times * scheduler.seconds(batch)
        scheduler.served(batch, times)
        for task in batch.tasks:
            if task.done == len(task.units):
                ends[task.id] = clock
            elif task.key is None:
                task.key = keys.get(task.shape, task.shape)
            else:
                keys[task.shape] = task.key
    return ends
