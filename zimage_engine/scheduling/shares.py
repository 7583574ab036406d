"""A tree of shares: the devices together, the groups that share them, and the owners who share a group's part.

A share's *meter* is the work served to it, in reference seconds alone, divided by its weight. ``booked`` is the work
that remains of its pinned tasks: a device has begun with each, and is expected to end it. A share's *tag* is where the
meter will stand when its leading task ends: for a task that no device has, the meter plus what is booked and the work
of the task, divided by the weight. Serving a pinned task moves work from what is booked to the meter, so tags stay.

The children of a share have a *virtual time*: who has no history, or little, starts by it. It grows by the work that is
served to them, divided by the weights of those that have tasks, times ``CLOCK_RATE``; and when somebody starts, it is
at least the lowest meter of those that have tasks.
"""

from __future__ import annotations

from collections.abc import Hashable

from zimage_engine.scheduling.tasks import rounded

CLOCK_RATE = 0.5
"""How fast virtual time grows, relative to the meters of children that are all served equally.

With 1 a head start that was given once is lost to all who come later; with 0 newcomers starve the others. With a half
those who ask for less than about half of the device get their head start each time, and nobody less than half of a fair
part (``benchmarks/adversaries.py``).
"""

_PRUNE_MIN = 16
"""Shares without tasks are looked for only if there are more children than this."""


class Share:
    """All devices, a group or an owner.

    ``work`` is the meter times the weight, ``virtual`` the virtual time of the children. ``active`` holds the children
    that have tasks, waiting or pinned, and ``active_weight`` is the sum of their weights. ``children`` also has those
    without tasks whose meter is still above that of a newcomer. ``tasks`` counts an owner's tasks.
    """

    __slots__ = (
        "_prune_above",
        "active",
        "active_weight",
        "booked",
        "children",
        "name",
        "parent",
        "tasks",
        "virtual",
        "weight",
        "work",
    )

    def __init__(self, name: Hashable = "devices", parent: Share | None = None) -> None:
        self.name = name
        self.parent = parent
        self.weight = 1.0
        self.work = 0.0
        self.booked = 0.0
        self.virtual = 0.0
        self.children: dict[Hashable, Share] = {}
        self.active: dict[Share, None] = {}
        self.active_weight = 0.0
        self.tasks = 0
        self._prune_above = _PRUNE_MIN

    @property
    def meter(self) -> float:
        return self.work / self.weight

    @property
    def has_tasks(self) -> bool:
        return self.tasks > 0 or bool(self.active)

    def child(self, name: Hashable, weight: float, burst: float) -> Share:
        """Return the child of this name, which is about to get a task, with its weight set to ``weight``.

        A child without tasks starts at ``virtual − burst ÷ weight``, or at its own meter if that is higher.
        """
        child = self.children.get(name)
        if child is not None and child.has_tasks:
            self.active_weight += weight - child.weight
            child.weight, child.work = weight, rounded(child.meter * weight)
            return child
        if self.active and all(share.meter > self.virtual for share in self.active):
            self.virtual = min(share.meter for share in self.active)
        start = self.virtual - burst / weight
        if child is None:
            self._prune(burst)
            child = self.children[name] = Share(name, self)
        else:
            start = max(start, child.meter)
        child.weight, child.work = weight, rounded(start * weight)
        return child

    def enter(self) -> None:
        """Count one more task of this owner, who is active from now on, and so is the group."""
        self.tasks += 1
        share = self
        while (parent := share.parent) is not None and share not in parent.active:
            parent.active[share] = None
            parent.active_weight += share.weight
            share = parent

    def leave(self) -> None:
        """Count one task of this owner less. A share without tasks is not active any more."""
        self.tasks -= 1
        share = self
        while (parent := share.parent) is not None and not share.has_tasks:
            del parent.active[share]
            parent.active_weight -= share.weight
            share = parent
            if not share.active:
                # Nobody is left to compare with: all children start alike when they come back.
                share.virtual = max([share.virtual, *(child.meter for child in share.children.values())])
                share.children.clear()
                share.active_weight = 0.0

    def charge(self, seconds: float) -> None:
        """Record work that was served to this owner, who has tasks, and that was not booked."""
        share = self
        while (parent := share.parent) is not None:
            share.work += seconds
            parent.virtual += CLOCK_RATE * seconds / parent.active_weight
            share = parent

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

    def rescale(self, factor: float) -> None:
        """Count all work in another unit, of which ``factor`` make one of the present; nothing is booked."""
        self.work, self.booked = rounded(self.work * factor), 0.0
        self.virtual *= factor
        for child in self.children.values():
            child.rescale(factor)

    def _prune(self, burst: float) -> None:
        """Forget the children without tasks who would start as newcomers do."""
        if len(self.children) > self._prune_above:
            self.children = {
                name: share
                for name, share in self.children.items()
                if share.has_tasks or share.meter > self.virtual - burst / share.weight
            }
            self._prune_above = max(_PRUNE_MIN, 2 * len(self.children))
