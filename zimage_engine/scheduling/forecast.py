"""Predicts when each task ends, by running the scheduler's rule forward on a copy. Free of torch."""

from __future__ import annotations

from collections.abc import Hashable

from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.types import Unit

_BATCHES_MAX = 300


def run_forward(scheduler: Scheduler, batches: int = _BATCHES_MAX) -> dict[str, float]:
    """Serve up to ``batches`` batches of a copied scheduler, which this changes.

    Returns the predicted seconds from now to the end of each task that ends by then.
    """
    clock = 0.0
    ends: dict[str, float] = {}
    keys: dict[Hashable, Hashable] = {}  # by shape
    for _ in range(batches):
        batch = scheduler.next()
        if batch is None:
            break
        # The same batch leads until one of its tasks has taken its last step: all steps up to there are served at once.
        times = min(task.steps_left for task in batch.tasks) if batch.unit is Unit.DENOISE else 1
        clock += times * scheduler.seconds(batch)
        scheduler.served(batch, times)
        for task in batch.tasks:
            if task.done == len(task.units):
                ends[task.id] = clock
            elif task.key is None:
                # The caption's length is not known: the key of another task of this shape is the best guess.
                key = keys.get(task.shape, task.shape)
                scheduler.set_key(task, key, task.tokens, task.costs[Unit.DENOISE])
            else:
                keys[task.shape] = task.key
    return ends
