"""Places in the queue: how many requests wait or run, and how many of them may be one member's or one server's.

A request of a paused server keeps its place, so resuming a server never makes the queue longer than it may be.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from bot.store.job_states import IS_WAITING
from bot.store.limits import Requester

Holder = Literal["member", "server"]
"""Who has a share of the queue."""


@dataclass(frozen=True, slots=True)
class QueuePlaces:
    """How many places are taken: in all, by a member, and by the server where their credits count.

    ``of_server`` is 0 in direct messages and user-installed use.
    """

    taken: int
    of_member: int = 0
    of_server: int = 0


@dataclass(frozen=True, slots=True)
class QueueShares:
    """The parts, above 0 and up to 1, of the places that others leave which one member and one server may take."""

    member: float = 1.0
    server: float = 1.0

    def exceeded_by(self, places: QueuePlaces, length: int, *, direct: bool) -> Holder | None:
        """Return whose share of a queue of ``length`` places has no place for another request; None if it has one.

        A share is at least one place. A server's share counts from where half of the queue is taken: until then its
        members may have any place, so that a bot in a single server does not refuse them while most of the queue is
        free. ``direct`` are direct messages and user-installed use, where no server has a share.
        """
        if places.of_member >= most_of(self.member, length - (places.taken - places.of_member)):
            return "member"
        if direct or places.taken < length / 2:
            return None
        if places.of_server >= most_of(self.server, length - (places.taken - places.of_server)):
            return "server"
        return None


NO_SHARES = QueueShares()
"""Whoever comes first may fill the queue."""


def most_of(share: float, left: int) -> int:
    """Return how many of the ``left`` places, which others leave, a share allows: at least one."""
    return max(1, int(share * left + 1e-9))  # 0.29 * 100 is 28.999999999999996


def count_places(connection: sqlite3.Connection, requester: Requester) -> QueuePlaces:
    """Return how many places are taken, counting the queued and running jobs of paused servers, too."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(owner_id = ?), 0), coalesce(sum(scope_id = ? AND scope_id <> 0), 0)"
        f" FROM jobs WHERE {IS_WAITING}",
        (requester.member_id, requester.scope_id),
    )
    return QueuePlaces(*row.fetchone())
