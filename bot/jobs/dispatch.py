"""Who may go onto the engine now: as many jobs of a member at a time as their limit says, and none while paused.

A job that has to wait is no task: it is started by whatever lets it through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.store.guild_settings import INSTANCE

Verdict = Literal["through", "held", "paused"]


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A job at the gate: whose it is (a member in a scope), and how many of theirs go at a time (None: any number)."""

    job_id: int
    owner_id: int
    scope_id: int
    guild_id: int | None
    at_a_time: int | None
    start: Callable[[], None]

    @property
    def lane(self) -> tuple[int, int]:
        return self.owner_id, self.scope_id


class Dispatcher:
    """Knows which jobs are through and which wait; used on the event loop alone."""

    def __init__(self) -> None:
        self._through: dict[int, WaitingJob] = {}
        self._at_work: Counter[tuple[int, int]] = Counter()
        self._waiting: dict[int, WaitingJob] = {}
        self._paused: set[int] = set()

    def enter(self, ticket: WaitingJob) -> Verdict:
        """Start the job now, or when it may; what came of it."""
        self._waiting[ticket.job_id] = ticket
        self._let_through()
        if ticket.job_id in self._through:
            return "through"
        return "paused" if self.paused(ticket.guild_id) else "held"

    def foresee(self, owner_id: int, scope_id: int, guild_id: int | None, at_a_time: int | None) -> Verdict:
        """What would come of such a job now."""
        if self.paused(guild_id):
            return "paused"
        return "through" if at_a_time is None or self._at_work[owner_id, scope_id] < at_a_time else "held"

    def leave(self, job_id: int) -> None:
        """The job is through with the engine, or never got there; the next one may go."""
        self._waiting.pop(job_id, None)
        ticket = self._through.pop(job_id, None)
        if ticket is not None:
            self._at_work[ticket.lane] -= 1
            if not self._at_work[ticket.lane]:
                del self._at_work[ticket.lane]
        self._let_through()

    def waits(self, job_id: int) -> bool:
        return job_id in self._waiting

    def paused(self, guild_id: int | None) -> bool:
        return INSTANCE in self._paused or guild_id in self._paused

    def pause(self, guild_id: int) -> None:
        """Let none of a server's jobs through from now on; of nobody's where it is :data:`INSTANCE`."""
        self._paused.add(guild_id)

    def resume(self, guild_id: int) -> None:
        self._paused.discard(guild_id)
        self._let_through()

    def open(self) -> None:
        """Let everybody through: the engine is closed, and will tell each of them."""
        self._paused.clear()
        for ticket in list(self._waiting.values()):
            self._start(ticket)

    def _let_through(self) -> None:
        # The job's number is its age: one that was taken back goes before those that came later. These do not go
        # before one that waits, though their owner may have more at a time by now.
        full: set[tuple[int, int]] = set()
        for ticket in sorted(self._waiting.values(), key=lambda ticket: ticket.job_id):
            if self.paused(ticket.guild_id) or ticket.lane in full:
                continue
            if ticket.at_a_time is None or self._at_work[ticket.lane] < ticket.at_a_time:
                self._start(ticket)
            else:
                full.add(ticket.lane)

    def _start(self, ticket: WaitingJob) -> None:
        del self._waiting[ticket.job_id]
        self._through[ticket.job_id] = ticket
        self._at_work[ticket.lane] += 1
        ticket.start()
