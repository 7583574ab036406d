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
