"""The states of a job, which of them may follow which, and the SQL conditions that name groups of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

State = Literal["queued", "running", "rendered", "delivering", "delivered", "failed", "cancelled", "expired"]
EndState = Literal["failed", "cancelled", "expired"]
"""How a job can end without a result."""

CancelCause = Literal["owner", "moderator", "card_deleted", "data_deleted"]
"""Why a job is cancelled. After ``data_deleted`` nobody is told."""

NEXT: dict[State, tuple[State, ...]] = {
    # Admitted, its credits reserved; waits for the engine. After an interruption some images may have ended already.
    "queued": ("running", "rendered", "failed", "cancelled"),
    # At least one image has been on the device. The job is queued again if the process or the device stops.
    "running": ("queued", "rendered", "failed", "cancelled"),
    # Every image has ended and at least one has a file; the result has not been posted.
    "rendered": ("delivering", "expired"),
    # The result is being posted. After a crash it is unknown whether it was.
    "delivering": ("delivered", "rendered", "expired"),
    # The result stands in Discord. The states from here on are final.
    "delivered": (),
    # No image could be generated.
    "failed": (),
    # The member, or an admin, cancelled it.
    "cancelled": (),
    # It was rendered but could not be posted in time; its credits are given back.
    "expired": (),
}
"""The states that may follow each state, in the order of a job's life."""

OPEN: tuple[State, ...] = tuple(state for state, following in NEXT.items() if following)
ENDED: tuple[State, ...] = tuple(state for state, following in NEXT.items() if not following)
WAITING: tuple[State, ...] = ("queued", "running")
"""Jobs that count against ``queued_jobs``, ``concurrent_jobs`` and the length of the queue."""
UNDELIVERED: tuple[State, ...] = ("rendered", "delivering")


def sql_list(states: Iterable[State]) -> str:
    """Return the states as a list for SQL's ``IN``."""
    quoted = [f"'{state}'" for state in states]
    return f"({', '.join(quoted)})"


# SQLite uses the partial indexes jobs_by_state and jobs_open only for conditions worded as in the indexes.
OPEN_JOBS = "jobs INDEXED BY jobs_by_state"
"""The table for queries with the condition IS_OPEN; SQLite would otherwise read every job that a member ever had."""
IS_OPEN = f"state NOT IN {sql_list(ENDED)}"
HAS_ENDED = f"state IN {sql_list(ENDED)}"
IS_WAITING = f"state IN {sql_list(WAITING)}"
IS_UNDELIVERED = f"state IN {sql_list(UNDELIVERED)}"
