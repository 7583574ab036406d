"""A tree of shares: the device, the groups that share it, and the owners who share a group's part of it.

A share's *meter* is the work served to it, in predicted device seconds alone, divided by its weight. Its *tag* is the
meter plus the remaining work of its leading task divided by the weight: where the meter will stand when that task
ends. Serving the leading task raises the meter by what it takes from the remaining work, so the tag stays.

The children of a share have a *virtual time*: who has no history, or little, starts by it. It grows by the work that is
served to them, divided by the weights of those that have tasks, times ``CLOCK_RATE``; and when somebody starts, it is
at least the lowest meter of those that have tasks.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import Protocol

from zimage_engine.scheduling.tasks import Task, rounded

CLOCK_RATE = 0.5
"""How fast virtual time grows, relative to the meters of children that are all served equally.

With 1 a head start that was given once is lost to all who come later; with 0 newcomers starve the others. With a half
those who ask for less than about half of the device get their head start each time, and nobody less than half of a fair
part (``benchmarks/adversaries.py``).
"""

_PRUNE_MIN = 16
"""Shares without tasks are looked for only if there are more children than this."""


class QueueItem(Protocol):
    """A child or a task: something with a weight and a place in the queue of a share, None if it is not queued."""

    weight: float
    entry: Entry | None


Entry = tuple[float, int, QueueItem]
"""What queues are sorted by: a tag, or the age and work of a task; then the sequence number of the leading task."""

Tagged = tuple[float, int, Task]
"""A task with its tag and its sequence number."""


class Share:
    """The device, a group or an owner.

    An owner's ``queue`` holds their tasks, any other the children that have tasks, by tag. ``children`` also has those
    without tasks whose meter is still above that of a newcomer. ``work`` is the meter times the weight, ``virtual`` the
    virtual time of the children, ``queued_weight`` the sum of the weights in the queue.
    """

    __slots__ = (
        "_prune_above",
        "children",
        "entry",
        "name",
        "parent",
        "queue",
        "queued_weight",
        "virtual",
        "weight",
        "work",
    )

    def __init__(self, name: Hashable = "device", parent: Share | None = None) -> None:
        self.name = name
        self.parent = parent
        self.weight = 1.0
        self.work = 0.0
        self.virtual = 0.0
        self.children: dict[Hashable, Share] = {}
        self.queue: list[Entry] = []
        self.entry: Entry | None = None
        self.queued_weight = 0.0
        self._prune_above = _PRUNE_MIN

    @property
    def meter(self) -> float:
        return self.work / self.weight

    @property
    def head(self) -> Task:
        """The leading task."""
        item = self.queue[0][2]
        if isinstance(item, Share):
            return item.head
        assert isinstance(item, Task)
        return item

    def child(self, name: Hashable, weight: float, burst: float) -> Share:
        """Return the child of this name, which is about to get a task, with its weight set to ``weight``.

        A child without tasks starts at ``virtual − burst ÷ weight``, or at its own meter if that is higher.
        """
        child = self.children.get(name)
        if child is not None and child.queue:
            self.queued_weight += weight - child.weight
            child.weight, child.work = weight, rounded(child.meter * weight)
            return child
        if self.queue and all(share.meter > self.virtual for share in self.waiting()):
            self.virtual = min(share.meter for share in self.waiting())
        start = self.virtual - burst / weight
        if child is None:
            self._prune(burst)
            child = self.children[name] = Share(name, self)
        else:
            start = max(start, child.meter)
        child.weight, child.work = weight, rounded(start * weight)
        return child

    def place(self, item: QueueItem, order: float, sequence: int) -> None:
        """Put a child or task where it belongs in the queue, and this share where it then belongs in its parent's."""
        if item.entry is None or item.entry[:2] != (order, sequence):
            self._take_out(item)
            item.entry = (order, sequence, item)
            insort(self.queue, item.entry)
            self.queued_weight += item.weight
        if self.parent is not None:
            head = self.head
            self.parent.place(self, (self.work + head.remaining) / self.weight, head.sequence)

    def remove(self, item: QueueItem) -> None:
        """Remove a child or task from the queue. A share whose queue is empty leaves its parent's, too."""
        self._take_out(item)
        if self.queue:
            first = self.queue[0]
            self.place(first[2], *first[:2])
            return
        # Nobody is left to compare with: all children start alike when they come back.
        self.virtual = max([self.virtual, *(share.meter for share in self.children.values())])
        self.children.clear()
        self.queued_weight = 0.0
        if self.parent is not None:
            self.parent.remove(self)

    def rejoin(self) -> Share:
        """Return the share that has this one's name now, which is this one unless a new one was made meanwhile."""
        if self.parent is None:
            return self
        self.parent = self.parent.rejoin()
        return self.parent.children.setdefault(self.name, self)

    def copy(self, copies: dict[Share, Share]) -> Share:
        """Return this share's copy, without tasks, from ``copies``, where it and its parents' are added if missing."""
        if self not in copies:
            assert self.parent is not None
            copied = copies[self] = Share(self.name, self.parent.copy(copies))
            copied.weight, copied.work = self.weight, self.work
        return copies[self]

    def copy_order(self) -> Share:
        """Return a share with copies of the queues and the same tasks, whose order can be read while this changes."""
        copied = Share(self.name)
        copied.weight, copied.work = self.weight, self.work
        copied.queue = self.queue.copy()
        for number, (order, sequence, item) in enumerate(self.queue):
            if not isinstance(item, Share):
                break  # an owner's queue has tasks alone
            copied.queue[number] = (order, sequence, item.copy_order())
        return copied

    def charge(self, seconds: float) -> None:
        """Record the work that was served to this owner, who has tasks. Negative ``seconds`` take it back."""
        share = self
        while (parent := share.parent) is not None:
            share.work += seconds
            parent.virtual += CLOCK_RATE * seconds / parent.queued_weight
            share = parent

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks in the order in which they lead if nothing else comes; the first of many are found fast."""
        opened: list[tuple[float, int, Task, Iterator[Tagged]]] = []
        for order, sequence, item in self.queue:
            if isinstance(item, Task):
                yield item
                continue
            while opened and opened[0][:2] < (order, sequence):
                yield _advance(opened)
            assert isinstance(item, Share)
            tagged = item.tagged()
            heapq.heappush(opened, (*next(tagged), tagged))
        while opened:
            yield _advance(opened)

    def tagged(self) -> Iterator[Tagged]:
        """Yield the tasks, lowest tag first: the meter at which each ends if they are served one after another."""
        work = self.work
        for task in self.tasks():
            work += task.remaining
            yield work / self.weight, task.sequence, task

    def waiting(self) -> Iterator[Share]:
        """Yield the children that have tasks, lowest tag first."""
        return (item for _, _, item in self.queue if isinstance(item, Share))

    def _take_out(self, item: QueueItem) -> None:
        if item.entry is not None:
            del self.queue[bisect_left(self.queue, item.entry)]
            self.queued_weight -= item.weight
            item.entry = None

    def _prune(self, burst: float) -> None:
        """Forget the children without tasks who would start as newcomers do."""
        if len(self.children) > self._prune_above:
            self.children = {
                name: share
                for name, share in self.children.items()
                if share.queue or share.meter > self.virtual - burst / share.weight
            }
            self._prune_above = max(_PRUNE_MIN, 2 * len(self.children))


def _advance(opened: list[tuple[float, int, Task, Iterator[Tagged]]]) -> Task:
    """Return the first task of the heap, which is replaced by the task after it in its share."""
    _, _, task, tagged = opened[0]
    following = next(tagged, None)
    if following is None:
        heapq.heappop(opened)
    else:
        heapq.heapreplace(opened, (*following, tagged))
    return task
