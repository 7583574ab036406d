"""The order in which a device serves tasks: what it has begun, and what no device has."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence

from zimage_engine.scheduling.order import Entry, Pinned, Waiting
from zimage_engine.scheduling.shares import Share
from zimage_engine.scheduling.tasks import Task

Tagged = tuple[float, int, Task]
"""A task with its tag and its sequence number."""


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

    def ready(self) -> Task | None:
        """Return the first task that is ready; None if there is none."""
        if self._root in self._pinned.below:
            head = self._head(self._root)
        elif self._root in self._waiting.queues:
            head = self._waiting.head(self._root)
        else:
            return None
        return head if head.ready else next((task for task in self.tasks() if task.ready), None)

    def _tasks(self, share: Share) -> Iterator[Task]:
        opened: list[tuple[float, int, Task, Iterator[Tagged]]] = []
        for order, sequence, item in self._queue(share):
            if isinstance(item, Task):
                yield item
                continue
            while opened and opened[0][:2] < (order, sequence):
                yield opened[0][2]
                _advance(opened)
            tagged = self.tagged(item)
            heapq.heappush(opened, (*next(tagged), tagged))
        while opened:
            yield opened[0][2]
            _advance(opened)

    def tagged(self, share: Share) -> Iterator[Tagged]:
        """Yield the tasks of a share with the meter at which each ends if they are served one after another."""
        work, weight = share.work, share.weight
        elsewhere = share.booked - self._pinned.booked.get(share, 0.0)
        for task in self._tasks(share):
            if task.pinned is None:
                work, elsewhere = work + elsewhere, 0.0
            work += task.remaining
            yield work / weight, task.sequence, task

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
            found = self._mixed[share] = []
            for child in self._pinned.below[share]:
                head = self._head(child)
                work = child.work + head.remaining
                if head.pinned is None:
                    work += child.booked - self._pinned.booked[child]
                found.append((work / child.weight, head.sequence, child))
            found.sort()
        return found

    def _head(self, share: Share) -> Task:
        """Return the leading task of a share that has pinned ones."""
        waiting = self._waiting.queues.get(share)
        if (own := self._pinned.queues.get(share)) is not None:
            item = own[0][2] if waiting is None or own[0] < waiting[0] else waiting[0][2]
            assert isinstance(item, Task)
            return item
        first = self._mixed_children(share)[0]
        children = self._pinned.below[share]
        for entry in waiting or ():
            if entry[2] not in children:
                first = min(first, entry)
                break
        owner = first[2]
        assert isinstance(owner, Share)
        return self._head(owner) if owner in children else self._waiting.head(owner)


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


def _advance(opened: list[tuple[float, int, Task, Iterator[Tagged]]]) -> None:
    """Replace the first task of the heap by the task after it in its share."""
    tagged = opened[0][3]
    following = next(tagged, None)
    if following is None:
        heapq.heappop(opened)
    else:
        heapq.heapreplace(opened, (*following, tagged))
