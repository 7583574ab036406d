"""A device on a simulated clock: Z-Image-Turbo on an RTX 4090 by the cost model; nothing is generated."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Task
from zimage_engine.types import Unit

_TOKENS = {512: 1024 + 128, 768: 2304 + 128, 1024: 4096 + 128}
SIDES = tuple(_TOKENS)
"""The sides of the square pictures that can be asked for, in pixels."""
STEPS = 8


class Device:
    """A scheduler of the given policy, and the clock.

    ``ended`` has the time of each ended task's end by its id, ``served`` the work served to each owner.
    """

    def __init__(self, policy: type[Scheduler]) -> None:
        self.costs = turbo_costs()
        self.scheduler = policy(burst=self.seconds_alone())
        self.scheduler.add_device("gpu", {"": self.costs})
        self.clock = 0.0
        self.ended: dict[str, float] = {}
        self.served: defaultdict[Hashable, float] = defaultdict(float)
        self._numbers = itertools.count()

    def ask(self, owner: str, group: str = "", *, side: int = 1024, steps: int = STEPS) -> Task:
        """Submit a request for one picture."""
        units = (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * steps, Unit.DECODE)
        tokens = _TOKENS[side]
        name = str(next(self._numbers))
        task = Task(name, owner, units, self._unit_seconds(side), shape=tokens, tokens=tokens, group=group)
        self.scheduler.add(task)
        return task

    def serve(self) -> None:
        """Run one unit."""
        batch = self.scheduler.next("gpu")
        assert batch is not None
        self.clock += self.scheduler.seconds("gpu", batch)
        self.scheduler.served("gpu", batch)
        for task in batch.tasks:
            self.served[task.owner] += task.costs[batch.unit]
            if task.key is None:
                self.scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
            if task.done == len(task.units):
                self.ended[task.id] = self.clock

    def seconds_alone(self, side: int = 1024) -> float:
        """Return the seconds of one picture of eight steps on an idle device."""
        seconds = self._unit_seconds(side)
        return seconds[Unit.ENCODE_TEXT] + STEPS * seconds[Unit.DENOISE] + seconds[Unit.DECODE]

    def _unit_seconds(self, side: int) -> dict[Unit, float]:
        return {
            Unit.ENCODE_TEXT: self.costs.encode(),
            Unit.DENOISE: self.costs.step(_TOKENS[side]),
            Unit.DECODE: self.costs.decode(side**2),
        }


def turbo_costs() -> CostModel:
    """Return the seconds of an RTX 4090 at 60 % of its peak by the roofline; batches of up to two 512²."""
    return CostModel(base=0.004, linear=1.05e-4, square=4.5e-9, encode_text=0.03, pixel=1.5e-7, budget=2 * _TOKENS[512])
