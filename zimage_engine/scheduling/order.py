"""Tasks by the tags of :mod:`~zimage_engine.scheduling.shares`: those that wait, and those that a device has begun."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from zimage_engine.scheduling.batching import Alike
from zimage_engine.scheduling.shares import CLOCK_RATE, Share
from zimage_engine.scheduling.tasks import Task

Entry = tuple[float, int, Share | Task]
"""What queues are sorted by: a tag, or the age and work of a task; then the sequence number of the leading task."""


def share_of(task: Task) -> Share:
    """Return the share of a task's owner; the task must have been added to a scheduler."""
    assert task.share is not None
    return task.share


def entry_of(task: Task) -> Entry:
    """Return the place of a task among its owner's.

    Shortest first, but an older task counts as shorter, so that none of the owner's tasks starves.
    """
    return task.added_at + task.remaining, task.sequence, task


class Waiting:
    """The tasks that no device has begun.

    ``queues`` has an owner's waiting tasks, and the children of any other share that have such tasks.
    """

    def __init__(self) -> None:
        self.queues: dict[Share, list[Entry]] = {}
        self._entries: dict[Share | Task, Entry] = {}

    def place(self, task: Task) -> None:
        """Put a task where it belongs, or move it there."""
        self._put(share_of(task), entry_of(task))

    def place_all(self, tasks: Sequence[Task]) -> None:
        """Put tasks where they belong, and their owners, too."""
        for task in tasks:
            self.place(task)
        for owner in {share_of(task) for task in tasks}:
            self.update(owner)

    def remove(self, task: Task) -> None:
        self._take_out(share_of(task), task)

    def update(self, owner: Share) -> None:
        """Move an owner, and the group, to where they belong after a change of their tasks, work or weight."""
        share = owner
        while (parent := share.parent) is not None:
            if share in self.queues:
                head = self.head(share)
                tag = (share.work + share.booked + head.remaining) / share.weight
                self._put(parent, (tag, head.sequence, share))
            elif share in self._entries:
                self._take_out(parent, share)
            share = parent

    def tasks(self) -> list[Task]:
        """Return the tasks, an owner's together."""
        return [item for queue in self.queues.values() for _, _, item in queue if isinstance(item, Task)]

    def head(self, share: Share) -> Task:
        """Return the leading task of those that wait."""
        item = self.queues[share][0][2]
        while isinstance(item, Share):
            item = self.queues[item][0][2]
        return item

    def copy(self) -> Waiting:
        """Return a copy with the same shares and tasks. It can be read while this changes, and is not to be changed."""
        copied = Waiting()
        copied.queues = {share: queue.copy() for share, queue in self.queues.items()}
        return copied

    def _put(self, share: Share, entry: Entry) -> None:
        if (before := self._entries.get(entry[2])) is not None:
            if before == entry:
                return
            self._take_out(share, entry[2])
        self._entries[entry[2]] = entry
        insort(self.queues.setdefault(share, []), entry)

    def _take_out(self, share: Share, item: Share | Task) -> None:
        queue = self.queues[share]
        del queue[bisect_left(queue, self._entries.pop(item))]
        if not queue:
            del self.queues[share]


class WaitingTasks:
    """All tasks that no device has begun, in one tree, and in smaller ones for devices that serve some models alone."""

    def __init__(self) -> None:
        self.all = Waiting()
        self.alike = Alike()
        self._parts: dict[frozenset[str], Waiting] = {}
        self._models: set[str] = set()

    def place(self, task: Task) -> None:
        """Put a task where it belongs, or move it there, and its owner, too."""
        self._models.add(task.model)
        for tree in self._trees(task):
            tree.place(task)
        self.alike.place(task)
        self.update(share_of(task))

    def remove(self, task: Task) -> None:
        for tree in self._trees(task):
            tree.remove(task)
        self.alike.remove(task)
        self.update(share_of(task))

    def update(self, owner: Share) -> None:
        """Move an owner, and the group, to where they belong after a change of their tasks, work or weight."""
        self.all.update(owner)
        for part in self._parts.values():
            part.update(owner)

    def replace(self, tasks: Sequence[Task]) -> None:
        """Put all tasks where they belong after each has changed."""
        self._parts.clear()
        self.all = Waiting()
        self.all.place_all(tasks)

    def of(self, models: frozenset[str]) -> Waiting:
        """Return the tasks of these models."""
        if self._models <= models:
            return self.all
        if (part := self._parts.get(models)) is None:
            part = self._parts[models] = Waiting()
            part.place_all([task for task in self.all.tasks() if task.model in models])
        return part

    def _trees(self, task: Task) -> list[Waiting]:
        return [self.all, *(part for models, part in self._parts.items() if task.model in models)]


class Pinned:
    """The tasks that a device has begun: they can go on nowhere else.

    ``queues`` has the tasks by owner, ``below`` the children of any other share that have such tasks. ``booked`` is the
    work that remains of them, by share.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.queues: dict[Share, list[Entry]] = {}
        self.below: dict[Share, dict[Share, None]] = {}
        self.booked: dict[Share, float] = {}
        self.alike = Alike()

    def add(self, task: Task) -> None:
        """Pin a task, and book what remains of it."""
        task.pinned = self
        self.tasks[task.id] = task
        self._put(task)
        self.alike.place(task)
        self.book(task, task.remaining)

    def remove(self, task: Task) -> None:
        """Unpin a task; what remained of it is not booked any more."""
        self.book(task, -task.remaining)
        task.pinned = None
        del self.tasks[task.id]
        self.alike.remove(task)
        self._take_out(task)

    @staticmethod
    def together(parts: Sequence[Pinned]) -> Pinned:
        """Return the tasks of several devices, to be read and not to be changed."""
        together = Pinned()
        for part in parts:
            for task in part.tasks.values():
                together._put(task)
            for share, seconds in part.booked.items():
                together.booked[share] = together.booked.get(share, 0.0) + seconds
        return together

    def place(self, task: Task) -> None:
        """Move a task to where it belongs after a change of its work."""
        queue = self.queues[share_of(task)]
        assert task.entry is not None
        del queue[bisect_left(queue, task.entry)]
        task.entry = entry_of(task)
        insort(queue, task.entry)
        self.alike.place(task)

    def book(self, task: Task, seconds: float) -> None:
        """Book work that was added to a task, or less if it is negative."""
        share = share_of(task)
        while (parent := share.parent) is not None:
            share.booked += seconds
            self.booked[share] = self.booked.get(share, 0.0) + seconds
            share = parent

    def serve(self, task: Task, seconds: float) -> None:
        """Move work of a task from what is booked to the meters; negative ``seconds`` take it back."""
        share, booked = share_of(task), self.booked
        while (parent := share.parent) is not None:
            share.work += seconds
            share.booked -= seconds
            booked[share] -= seconds
            parent.virtual += CLOCK_RATE * seconds / parent.active_weight
            share = parent
        task.remaining -= seconds

    def _put(self, task: Task) -> None:
        share = share_of(task)
        task.entry = entry_of(task)
        insort(self.queues.setdefault(share, []), task.entry)
        while (parent := share.parent) is not None:
            children = self.below.setdefault(parent, {})
            if share in children:
                break
            children[share] = None
            share = parent

    def _take_out(self, task: Task) -> None:
        share = share_of(task)
        assert task.entry is not None
        queue = self.queues[share]
        del queue[bisect_left(queue, task.entry)]
        if queue:
            return
        del self.queues[share]
        while (parent := share.parent) is not None:
            self.booked.pop(share, None)
            children = self.below[parent]
            del children[share]
            if children:
                break
            del self.below[parent]
            share = parent
