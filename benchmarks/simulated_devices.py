"""Several devices of one scheduler on a simulated clock; nothing is generated."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.scheduler import Scheduler
from zimage_engine.scheduling.tasks import Batch, Task
from zimage_engine.types import Unit


class SimulatedDevices:
    """Devices that take ``paces`` times as long as ``costs`` say, named by their numbers.

    With ``models`` each has room for one of them, holds the one of its number first, and loads another one in
    ``load_seconds``. ``ended`` has the time of each task's end, ``begun`` that of its first unit; ``served`` is the
    work of each owner, ``busy`` the seconds of each device, and ``loads`` counts the models that were loaded.
    """

    def __init__(
        self,
        costs: CostModel,
        paces: Sequence[float],
        burst: float = 1.0,
        models: Sequence[str] = ("",),
        load_seconds: float = 0.0,
    ) -> None:
        self.costs = costs
        self.scheduler = Scheduler(burst)
        for number, pace in enumerate(paces):
            held = frozenset({models[number % len(models)]})
            device = self.scheduler.add_device(str(number), dict.fromkeys(models, scaled(costs, pace)), held)
            device.pace = dict.fromkeys(models, pace)
            device.load_seconds = dict.fromkeys(models, load_seconds)
        self.clock = 0.0
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.served: defaultdict[object, float] = defaultdict(float)
        self.busy: defaultdict[str, float] = defaultdict(float)
        self.loads = 0
        self._running: list[tuple[float, int, str, Batch]] = []
        self._free = dict.fromkeys(self.scheduler.devices)
        self._launches = itertools.count()
        self._names = itertools.count()

    def ask(
        self,
        owner: object,
        group: object = None,
        *,
        tokens: int = 96,
        steps: int = 8,
        seconds: Mapping[Unit, float] | None = None,
        weight: float = 1.0,
        model: str = "",
    ) -> Task:
        """Add a task; ``seconds`` are those of its text and of decoding."""
        units = (Unit.ENCODE_TEXT, *(Unit.DENOISE,) * steps, Unit.DECODE)
        others = seconds or {Unit.ENCODE_TEXT: 0.02, Unit.DECODE: 0.1}
        task = Task(
            str(next(self._names)),
            owner,
            units,
            {**others, Unit.DENOISE: self.costs.step(tokens)},
            shape=(model, tokens),
            tokens=tokens,
            weight=weight,
            group=group,
            model=model,
        )
        self.scheduler.add(task)
        return task

    def launch(self) -> list[tuple[str, Batch]]:
        """Have each free device begin a unit, if there is one for it. Returns what was begun."""
        launched = []
        for name in list(self._free):
            batch = self.scheduler.next(name)
            self.scheduler.devices[name].idle = batch is None
            if batch is not None:
                launched.append((name, batch))
                self._launch(name, batch)
        return launched

    def finish(self) -> bool:
        """Go to the end of the first unit that ends. Returns False if none is running."""
        if not self._running:
            return False
        self.clock, _, name, batch = heapq.heappop(self._running)
        self._free[name] = None
        if batch.unit is Unit.LOAD_MODEL:
            self.scheduler.loaded(name, frozenset({batch.tasks[0].model}))
            return True
        for task in batch.tasks:
            if task.key is None:
                self.scheduler.set_key(task, task.shape, task.tokens, task.costs[Unit.DENOISE])
            if task.done == len(task.units) and task.id not in self.ended:
                self.ended[task.id] = self.clock
        return True

    def serve(self) -> bool:
        """Launch what can be, and go to the next end of a unit. Returns False if there is nothing to do."""
        self.launch()
        return self.finish()

    @property
    def idle(self) -> bool:
        """True if some device found nothing to do when it asked last."""
        return any(device.idle for device in self.scheduler.devices.values())

    def _launch(self, name: str, batch: Batch) -> None:
        seconds = self.scheduler.seconds(name, batch)
        self.scheduler.served(name, batch)
        self.loads += batch.unit is Unit.LOAD_MODEL
        self.busy[name] += seconds
        for task in batch.tasks:
            if batch.unit is not Unit.LOAD_MODEL:
                self.served[task.owner] += task.costs[batch.unit]
                self.begun.setdefault(task.id, self.clock)
        del self._free[name]
        heapq.heappush(self._running, (self.clock + seconds, next(self._launches), name, batch))


def scaled(costs: CostModel, pace: float) -> CostModel:
    """Return the costs of a device that takes ``pace`` times as long."""
    return replace(
        costs,
        base=pace * costs.base,
        linear=pace * costs.linear,
        square=pace * costs.square,
        encode_text=pace * costs.encode_text,
        encode_token=pace * costs.encode_token,
        pixel=pace * costs.pixel,
        correction={},
    )
