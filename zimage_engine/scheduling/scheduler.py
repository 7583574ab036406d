"""Decides who runs next: virtual finish. Pure Python without clock, threads or torch; the engine calls it locked.

Work is predicted seconds on the reference device alone. Groups share the devices, and owners share what their group
gets; both are a :class:`Share`. The task that leads on a device is found from the top: the group with the lowest tag,
in it the owner with the lowest tag, of the owner's tasks the shortest, where age makes a task shorter. It is one of
those that the device has begun, or one that none has. Plain fair sharing would let the task of the lowest tag finish
first. Serving it leaves its tags as they are, so that it leads until it is done: no thrashing.

A bound on how long a task takes, although strangers keep coming: look at its owner among the owners of the group. Let T
be the task's tag when it is added, without its own owner's later tasks. Let V be the virtual time then, W the largest
sum of weights that ever wait at once, b the burst, m the meters, w the weights and r the clock rate.

- Whoever has tasks already is served at most ``B = Σ w · max(0, T − m)`` before the task, as only tags up to T lead.
  That holds for all devices together, since work is charged when it is launched.
- Whoever comes later starts at ``V − b ÷ w`` or above, with a tag above that. Virtual time only grows, by at least
  r ÷ W for each second of work. So after ``W · (T + b ÷ w − V) ÷ r`` seconds of work nobody who comes goes first, and
  those who came before then are served at most ``w · (T + b ÷ w − V)`` each, ``W · (T + b ÷ w − V)`` in all.

Together the group is served at most ``X = B + W · (1 + 1 ÷ r) · (T + b ÷ w − V)`` before the task ends, with the lowest
w. The same holds for the group among the groups. Its T is the meter plus, divided by the weight, X, whatever tasks
behind it in the group are served meanwhile as riders, and the most that is booked in the group meanwhile. So the
devices do work Y at most, which is the expression for X with the groups' values, where they could have served the task.

Until it is begun, no device that may serve it idles. If all do S seconds of work in a second, and the one that begins
it does s, it begins within ``stretch · Y ÷ S + one unit``, and ends within ``stretch · Y ÷ s + two units``: what was
running when it was added, and when it could have gone on. ``stretch`` (3) bounds what a second of a leader's work can
take: riders at most double the time of a step, and encoding ahead for riders takes at most as long as all of the
leader's steps. Loading a model counts as work of the task that needs it. Where each of several devices has begun
enough (:meth:`Device.has_begun_enough`), a task also waits until some of that has ended, however long that takes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import islice

from zimage_engine.scheduling.batching import encoded_ahead, riders, room
from zimage_engine.scheduling.costs import CostModel
from zimage_engine.scheduling.devices import Device
from zimage_engine.scheduling.loading import load_seconds, wanted
from zimage_engine.scheduling.order import Pinned, WaitingTasks, share_of
from zimage_engine.scheduling.shares import Share
from zimage_engine.scheduling.tasks import BEFORE_STEPS, Batch, Task, rounded
from zimage_engine.scheduling.view import View
from zimage_engine.types import Unit

_POSITION_MAX = 500


class Scheduler:
    """The order of the tasks of several devices. ``burst`` (seconds) is the head start of who comes back."""

    def __init__(self, burst: float = 1.0) -> None:
        self.tasks: dict[str, Task] = {}
        self.devices: dict[str, Device] = {}
        self.burst = burst
        self.root = Share()
        self.waiting = WaitingTasks()
        self._served_seconds = 0.0
        self._sequence = 0

    def add_device(self, name: str, costs: Mapping[str, CostModel], models: frozenset[str] | None = None) -> Device:
        """Add a device with its costs by model, which may be asked what to run from now on.

        It holds ``models``, by default all of them, and may load the others.
        """
        assert name not in self.devices
        allowed = frozenset(costs)
        device = self.devices[name] = Device(name, costs, allowed if models is None else models, allowed)
        return device

    def remove_device(self, name: str) -> None:
        """Remove a device. Its tasks go back to their first unit, and wait; what they were served stays charged."""
        device = self.devices[name]
        for task in list(device.pinned.tasks.values()):
            self.restart(task)
        del self.devices[name]

    def add(self, task: Task) -> None:
        """Add a task. The weights of its group and owner become the task's."""
        self._sequence += 1
        task.sequence, task.added_at = self._sequence, self._served_seconds
        task.reset()
        group = self.root.child(task.group, task.group_weight, self.burst)
        task.share = group.child(task.owner, task.weight, self.burst)
        self._enter(task)
        self.waiting.place(task)

    def remove(self, task_id: str) -> None:
        """Remove a task; the meters keep what it was served."""
        task = self.tasks.pop(task_id)
        self._take_out(task)
        share_of(task).leave()

    def next(self, name: str) -> Batch | None:
        """Return what the device is to run now. Changes nothing; :meth:`served` does.

        Returns None if there are no tasks for it, or none whose key is known or not yet needed.
        """
        device = self.devices[name]
        view = View(self.root, None if device.draining else self.waiting.of(device.models), device.pinned)
        leader = view.ready()
        begins = not device.draining and (len(self.devices) == 1 or not device.has_begun_enough(leader))
        if begins and not device.allowed <= device.models and (task := wanted(self, device, leader)) is not None:
            if not device.pinned.tasks:
                return Batch(Unit.LOAD_MODEL, (task,))
            begins = False
        if not begins:
            view = View(self.root, None, device.pinned)
            leader = view.ready()
        if leader is None:
            return None
        if leader.model not in device.models:
            return Batch(Unit.LOAD_MODEL, (leader,))  # the device had to drop it, and has begun this task
        alone = self._only_one_owner_waits()
        count = room(device.costs[leader.model], leader, alone=alone) if leader.unit is Unit.DENOISE else 0
        if count < 1:
            return Batch(leader.unit, (leader,))
        begun, spare = device.pinned.alike, self._spare(device, leader) if begins else 0
        chosen = riders(view.tasks(), leader, count, begun, self.waiting.alike, spare, encoded=False)
        ahead = () if device.encoded_ahead else encoded_ahead(leader, chosen, alone=alone)
        if ahead:
            return Batch(ahead[0].unit, ahead, ahead_for=leader)
        if any(task.unit in BEFORE_STEPS for task in chosen):
            chosen = riders(view.tasks(), leader, count, begun, self.waiting.alike, 0, encoded=True)
        return Batch(Unit.DENOISE, (leader, *chosen))

    def served(self, name: str, batch: Batch, times: int = 1) -> None:
        """Record that a batch's unit is done ``times`` times. Each task is charged what the unit costs alone.

        The tasks are pinned to the device, unless a model is loaded. A task whose last unit that was is removed.
        """
        device = self.devices[name]
        if batch.unit is Unit.LOAD_MODEL:
            self._begin_load(device, batch.tasks[0])
            return
        for task in batch.tasks:
            if task.pinned is None:
                self._take_out(task)
                self._pin(task, device)
            self._serve(task, batch, times)
            if task.done == len(task.units):
                self.remove(task.id)
        device.encoded_ahead = batch.ahead_for is not None

    def loaded(self, name: str, models: frozenset[str]) -> None:
        """Record that a device is not loading any more, and which models it holds now."""
        device = self.devices[name]
        device.loading, device.models = None, models

    def undo(self, name: str, batch: Batch) -> None:
        """Take back one :meth:`served` of this batch, since its unit was not done after all.

        Tasks that were removed by it are in their place again. Later batches of other tasks may stand.
        """
        device = self.devices[name]
        for task in batch.tasks:
            if self._readmit(task):
                self._pin(task, device)
            self._serve(task, batch, -1)
        device.encoded_ahead = False

    def set_key(self, task: Task, key: Hashable, tokens: int, step: float) -> None:
        """Record a task's key, which is known now, and the tokens and the seconds of a step that follow from it."""
        task.key, task.tokens = key, tokens
        added = (rounded(step) - task.costs[Unit.DENOISE]) * task.steps_left
        task.costs = {**task.costs, Unit.DENOISE: rounded(step)}
        task.remaining += added
        task.encode_ahead += added
        if task.pinned is not None:
            task.pinned.book(task, added)
            task.pinned.place(task)
            self.waiting.update(share_of(task))
        elif task.id in self.tasks:
            self.waiting.place(task)

    def set_costs(self, task: Task, costs: Mapping[Unit, float]) -> None:
        """Set the seconds of a task that waits."""
        task.costs = costs
        task.reset()
        self.waiting.place(task)

    def restart(self, task: Task) -> None:
        """Have a task wait for its first unit, in its old place even if it was removed; the meters stay."""
        if not self._readmit(task):
            self._take_out(task)
        task.reset()
        self.waiting.place(task)

    def position(self, task: Task) -> int:
        """Return the number of tasks that come before this one; beyond 500, that of all others.

        Counting takes longer the more there are, and whoever asks holds up the engine and the event loop.
        """
        first = enumerate(islice(self.in_order(), _POSITION_MAX))
        return next((number for number, other in first if other is task), len(self.tasks) - 1)

    def in_order(self) -> Iterator[Task]:
        """Return all tasks in the order in which they lead if nothing else comes."""
        parts = [device.pinned for device in self.devices.values()]
        return View(self.root, self.waiting.all, parts[0] if len(parts) == 1 else Pinned.together(parts)).tasks()

    def seconds(self, name: str, batch: Batch) -> float:
        """Return the seconds that a batch's unit is expected to take on a device."""
        device, leader = self.devices[name], batch.tasks[0]
        if batch.unit is Unit.LOAD_MODEL:
            return device.load_seconds.get(leader.model, 0.0)
        if batch.unit is Unit.DENOISE:
            return device.costs[leader.model].step(leader.tokens, sum(task.samples for task in batch.tasks))
        return device.pace.get(leader.model, 1.0) * sum(task.costs[batch.unit] for task in batch.tasks)

    def copy_order(self) -> View:
        """Return the order of all tasks, which can be read while this changes."""
        everything = Pinned.together([device.pinned for device in self.devices.values()])
        return View(self.root, self.waiting.all.copy(), everything)

    def place(self, task: Task, device: Device | None) -> None:
        """Add a task that has a share already: pinned to a device, or waiting."""
        self._enter(task)
        if device is None:
            self.waiting.place(task)
        else:
            device.pinned.add(task)

    def recount(self, factor: float, predict: Callable[[Task], Mapping[Unit, float]]) -> None:
        """Count work in another unit, of which ``factor`` make one of the present.

        ``predict`` returns what the units of a task that waits take.
        """
        begun = [(task, device.pinned) for device in self.devices.values() for task in device.pinned.tasks.values()]
        waiting = [task for task in self.tasks.values() if task.pinned is None]
        for task, pinned in begun:
            pinned.remove(task)
        if factor != 1:
            self.root.rescale(factor)
            self._served_seconds = rounded(self._served_seconds * factor)
            for task in self.tasks.values():
                task.rescale(factor)
        for task, pinned in begun:
            pinned.add(task)
        for task in waiting:
            task.costs = predict(task)
            task.reset()
        self.waiting.replace(waiting)

    def _enter(self, task: Task) -> None:
        self.tasks[task.id] = task
        share_of(task).enter()

    def _readmit(self, task: Task) -> bool:
        """Give a task its share again, with the meters as they were left, if it was removed after its last unit."""
        if task.id in self.tasks:
            return False
        task.share = share_of(task).rejoin()
        self._enter(task)
        return True

    def _pin(self, task: Task, device: Device) -> None:
        device.pinned.add(task)
        self.waiting.update(share_of(task))

    def _take_out(self, task: Task) -> None:
        """Take a task out of where it waits, or unpin it."""
        if task.pinned is None:
            self.waiting.remove(task)
        else:
            task.pinned.remove(task)
            self.waiting.update(share_of(task))

    def _begin_load(self, device: Device, task: Task) -> None:
        seconds = rounded(load_seconds(device, task.model))
        device.loading = task.model
        share_of(task).charge(seconds)
        self._served_seconds += seconds
        self.waiting.update(share_of(task))

    def _serve(self, task: Task, batch: Batch, times: int) -> None:
        """Count a batch's unit as done ``times`` times for one of its tasks, which is pinned."""
        assert task.pinned is not None
        seconds = times * task.costs[batch.unit]
        task.pinned.serve(task, seconds)
        task.done += times
        if batch.ahead_for is not None:
            batch.ahead_for.encode_ahead -= seconds
        if task.done < len(task.units):
            task.pinned.place(task)
        self._served_seconds += seconds

    def _only_one_owner_waits(self) -> bool:
        groups = self.root.active
        return len(groups) == 1 and len(next(iter(groups)).active) == 1

    def _spare(self, device: Device, leader: Task) -> int:
        """Return how many waiting tasks the device may begin to ride with its leader.

        As many as there are other devices with nothing to do are left to those.
        """
        others = (other for other in self.devices.values() if other is not device)
        idle = sum(other.idle and other.has(leader.model) for other in others)
        return max(0, len(self.waiting.alike.get(("shape", leader.shape))) - idle)
