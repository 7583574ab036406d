"""A program that asks for jobs of one member until its input ends, and then prints how many were admitted, as JSON.

``python -m tests.helpers.admitting DATABASE NUMBER``: two of them with different numbers write to one file. It prints
``ready``, waits for a line, and prints ``busy`` when it has asked a hundred times.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import sys
import threading
import time
from pathlib import Path

from bot.store import admission
from bot.store.admission import JobDemand, Terms
from bot.store.database import _connect
from bot.store.jobs import NewJob
from bot.store.limits import LimitName, Requester
from bot.store.not_admitted import OverLimit
from tests.helpers.no_limits import NO_LIMITS

MEMBER, SERVER, PRICE, LIMIT = 5, 6, 100, 1000
DEFAULTS: dict[LimitName, int | None] = {
    **NO_LIMITS,
    "credits_per_day": LIMIT,
}
TERMS = Terms(DEFAULTS, DEFAULTS)
_BUSY = 100


def admit_one(connection: sqlite3.Connection, event_id: int, now: int = 1_000_000) -> bool:
    """Ask for a job in a transaction. Returns False if its price is over the limit."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        admit_for(connection, event_id, Requester(MEMBER, SERVER, SERVER), TERMS, now)
    except OverLimit:
        connection.rollback()
        return False
    connection.commit()
    return True


def admit_for(
    connection: sqlite3.Connection, event_id: int, requester: Requester, terms: Terms, now: int = 1_000_000
) -> None:
    """Admit a job for a picture, in the caller's transaction. Raises :class:`NotAdmitted`."""
    member, scope, guild = requester.member_id, requester.scope_id, requester.guild_id
    image = ((f"i{event_id}", 0),)
    new = NewJob(event_id, member, scope, guild, 7, "public", "imagine", "{}", PRICE, image, "n", None, created_at=now)
    admission.admit(connection, new, requester, JobDemand(PRICE, 1, 1), terms)


def main() -> None:
    connection = _connect(Path(sys.argv[1]))
    told = threading.Event()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    admitted = asked = 0
    for number in itertools.count():
        if told.is_set():
            break
        admitted += admit_one(connection, 2 * number + int(sys.argv[2]))
        asked += 1
        if asked == _BUSY:
            sys.stdout.write("busy\n")
            sys.stdout.flush()
        time.sleep(0.001)  # SQLite's lock is not fair: the other one gets its turn here
    sys.stdout.write(json.dumps({"asked": asked, "admitted": admitted}))


if __name__ == "__main__":
    main()
