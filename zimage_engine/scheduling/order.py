"""The order of tasks by the tags of :mod:`~zimage_engine.scheduling.shares`.

Those that wait are one tree, those that are pinned to a device a smaller one; a view has both as the device sees them.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_left, insort
from collections.abc import Container, Iterable, Iterator, Sequence

from zimage_engine.scheduling.batching import Alike
from zimage_engine.scheduling.shares import CLOCK_RATE, Share
from zimage_engine.scheduling.tasks import Task

Entry = tuple[float, int, Share | Task]
"""What queues are sorted by: a tag, or the age and work of a task; then the sequence number of the leading task."""

Tagged = tuple[float, int, Task]
"""A task with its tag and its sequence number."""


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


class View:
    """Tasks in the order in which they lead if nothing else comes: these pinned ones, and those that wait.

    What is booked on other devices counts for those that wait. Use it at once: it remembers parts of the order.
    """

    def __init__(self, root: Share, waiting: Waiting | None, pinned: Pinned) -> None:
        self._root = root
        self._waiting = waiting if waiting is not None else Waiting()
        self._pinned = pinned
        self._mixed: dict[Share, list[Entry]] = {}
        self._found: list[Task] = []
        self._others = self._tasks(root)

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks in order; the first of many are found fast, and those that were found before at once."""
        for number in itertools.count():
            if number == len(self._found):
                if (task := next(self._others, None)) is None:
                    return
                self._found.append(task)
            yield self._found[number]

    def _tasks(self, share: Share) -> Iterator[Task]:
        opened: list[tuple[float, int, Task, Iterator[Tagged]]] = []
        for order, sequence, item in self._queue(share):
            if isinstance(item, Task):
                yield item
                continue
            while opened and opened[0][:2] < (order, sequence):
                yield _advance(opened)
            tagged = self.tagged(item)
            heapq.heappush(opened, (*next(tagged), tagged))
        while opened:
            yield _advance(opened)

    def tagged(self, share: Share) -> Iterator[Tagged]:
        """Yield the tasks of a share with the meter at which each ends if they are served one after another."""
        work, elsewhere = share.work, self._booked_elsewhere(share)
        for task in self._tasks(share):
            if task.pinned is None:
                work, elsewhere = work + elsewhere, 0.0
            work += task.remaining
            yield work / share.weight, task.sequence, task

    def _queue(self, share: Share) -> Iterable[Entry]:
        waiting = self._waiting.queues.get(share, ())
        if (own := self._pinned.queues.get(share)) is not None:
            return _merged(waiting, own) if waiting else own
        if (children := self._pinned.below.get(share)) is None:
            return waiting
        return _merged(waiting, self._mixed_children(share), children) if waiting else self._mixed_children(share)

    def _mixed_children(self, share: Share) -> Sequence[Entry]:
        """Return the entries of the children that have pinned tasks, which may have waiting ones, too."""
        if (found := self._mixed.get(share)) is None:
            found = self._mixed[share] = sorted(self._entry(child) for child in self._pinned.below[share])
        return found

    def _entry(self, share: Share) -> Entry:
        head = self._head(share)
        booked = self._booked_elsewhere(share) if head.pinned is None else 0.0
        return (share.work + booked + head.remaining) / share.weight, head.sequence, share

    def _head(self, share: Share) -> Task:
        waiting: Sequence[Entry] = self._waiting.queues.get(share, ())
        if (own := self._pinned.queues.get(share)) is not None:
            first = min(own[0], waiting[0]) if waiting else own[0]
        else:
            first = self._mixed_children(share)[0]
            children = self._pinned.below[share]
            if (other := next((entry for entry in waiting if entry[2] not in children), None)) is not None:
                first = min(first, other)
        item = first[2]
        if isinstance(item, Task):
            return item
        return (
            self._head(item) if item in self._pinned.queues or item in self._pinned.below else self._waiting.head(item)
        )

    def _booked_elsewhere(self, share: Share) -> float:
        return share.booked - self._pinned.booked.get(share, 0.0)


def _merged(waiting: Sequence[Entry], own: Sequence[Entry], leave_out: Container[Share | Task] = ()) -> Iterator[Entry]:
    """Yield the entries of two queues, lowest first, without those in ``waiting`` of the items to ``leave_out``."""
    position = 0
    for entry in waiting:
        if entry[2] not in leave_out:
            while position < len(own) and own[position] < entry:
                yield own[position]
                position += 1
            yield entry
    yield from own[position:]


def _advance(opened: list[tuple[float, int, Task, Iterator[Tagged]]]) -> Task:
    """Return the first task of the heap, which is replaced by the task after it in its share."""
    _, _, task, tagged = opened[0]
    following = next(tagged, None)
    if following is None:
        heapq.heappop(opened)
    else:
        heapq.heapreplace(opened, (*following, tagged))
    return task
