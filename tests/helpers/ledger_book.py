"""The database and its model side by side: each change is made in both, and they are compared."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from bot.store import admission, images, job_rows, jobs, ledger
from bot.store.accounts import DAY
from bot.store.admission import JobDemand, Terms
from bot.store.database import _connect
from bot.store.jobs import NewJob
from bot.store.limits import Requester
from bot.store.not_admitted import NotAdmitted, OverCeiling, OverLimit
from bot.store.recovery import ATTEMPTS_MAX
from tests.helpers import job_ends
from tests.helpers.databases import add_database
from tests.helpers.ledger_model import Job, Model

T = TypeVar("T")
TABLES = ("jobs", "images", "ledger", "accounts", "usage_days", "limits")
ENTRIES = (
    "SELECT job_id, entry, sum(credits), sum(granted), count(*) FROM ledger WHERE entry NOT IN ('granted', 'reset')"
    " GROUP BY job_id, entry"
)
USAGE = "SELECT scope_id, day, account_id, channel_id, jobs, images, credits, device_ms FROM usage_days"


class Book:
    """A clock, a database for the store's functions, and the model."""

    def __init__(self, terms: Terms) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._path = add_database(Path(self._folder.name) / "bot.sqlite3")
        self.connection = self._open()
        self.now, self._event_id = 20_000 * DAY + 5000, 0
        self.model = Model(terms)

    def die(self) -> None:
        """Close the file in the middle of a transaction, as a process does that dies, and open it again."""
        self.connection.close()
        self.connection = self._open()

    def close(self) -> None:
        self.connection.close()
        self._folder.cleanup()

    def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = function(self.connection)
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()
        return result

    def rows(self) -> tuple[int, ...]:
        """Return the number of rows of each table."""
        counts = (f"SELECT count(*) FROM {table}" for table in TABLES)  # noqa: S608
        return tuple(self.connection.execute(count).fetchone()[0] for count in counts)

    def used(self, member: int, scope: int) -> int:
        return ledger.used(self.connection, member, scope, self.now)

    def admit(self, requester: Requester, wanted: int, count: int) -> None:
        """Admit a job in both. Raises :class:`NotAdmitted`."""
        self._event_id += 1
        seeds = tuple((f"{self._event_id}-{position}", position) for position in range(count))
        member, scope = requester.member_id, requester.scope_id
        new = NewJob(
            *(
                self._event_id,
                member,
                scope,
                requester.guild_id,
                8,
                "public",
                "imagine",
                "{}",
                wanted,
                seeds,
                "n",
                None,
            ),
            created_at=self.now,
        )
        demand = JobDemand(credits=wanted, count=count, pixels=100)
        admitted = self.write(
            partial(admission.admit, new=new, requester=requester, demand=demand, terms=self.model.terms)
        )
        assert admitted is not None
        granted = self.model.from_grants(member, scope, requester.role_ids, wanted, self.now)
        account = self.model.account(member)
        job = Job(admitted.job_id, account, member, scope, 8, wanted, granted, self.now, count)
        self.model.jobs.append(job)

    def image_id(self, job: Job, position: int) -> str:
        sql = "SELECT id FROM images WHERE job_id = ? AND position = ?"
        return str(self.connection.execute(sql, (job.id, position)).fetchone()["id"])

    def hand_out(self, job: Job, position: int) -> None:
        """Hand an image out, if it may be: exactly then it will be paid."""
        image_id = self.image_id(job, position)
        handed_out = self.write(partial(images.hand_out, image_id=image_id, now=self.now))
        assert handed_out == (position in job.may_be_handed_out)
        if handed_out:
            job.seen.add(position)

    def recovered(self, job: Job) -> bool:
        """Move a job as a new process does. Returns whether it was given up."""
        if self.model.accounts[job.account - 1].closed_at is not None:
            job.end("expired" if job.state in ("rendered", "delivering") else "cancelled", self.now, forgotten=True)
            return False
        if job.state == "delivering":
            job.state = "rendered"
        if job.state != "running":
            return False
        job.state, job.attempts = "queued", job.attempts + 1
        if job.attempts < ATTEMPTS_MAX:
            return False
        if job.pictures:
            job.state = "rendered"
        else:
            job.end("failed", self.now)
        return True

    def check_sums(self, members: tuple[int, ...], scopes: tuple[int, ...]) -> None:
        connection, model, now = self.connection, self.model, self.now
        for member in members:
            assert ledger.used_everywhere(connection, member, now) == model.used_everywhere(member, now)
            for scope in scopes:
                used = model.used(member, scope, now)
                assert self.used(member, scope) == used >= 0
                assert ledger.granted(connection, member, scope) == model.granted(member, scope) >= 0
                coming = [renewal.credits for renewal in ledger.renewals(connection, member, scope, now)]
                assert sum(coming) == used - model.waiting_long(member, scope, now)
                assert job_rows.count_open(connection, member, scope) == model.count_open(member, scope)
        for scope in scopes:
            assert ledger.used_in(connection, scope, now) == model.used_in(scope, now)

    def check_entries(self) -> None:
        """Check that each job reserved its price once and, if it has ended, settled and gave back exactly that."""
        entered = {(row[0], row[1]): tuple(row)[2:] for row in self.connection.execute(ENTRIES)}
        for job in self.model.jobs:
            assert entered.pop((job.id, "reserved")) == (job.credits, job.granted, 1)
            settled = entered.pop((job.id, "settled"), None)
            assert settled == ((job.spent, job.held_of_grants, 1) if job.ended else None)
            back = job.credits - job.held, job.granted - job.held_of_grants
            assert entered.pop((job.id, "given_back"), None) == ((*back, 1) if back[0] else None)
        assert not entered

    def check_usage(self) -> None:
        assert {tuple(row)[:4]: tuple(row)[4:] for row in self.connection.execute(USAGE)} == self.model.usage_days()

    def check_renewal(self, requester: Requester, wanted: JobDemand, cause: NotAdmitted) -> None:
        """Check that a refused job is allowed at the time that the refusal names and not a second earlier.

        If it names none, it is never allowed. For the check all jobs are ended with everything spent.
        """
        name = cause.limit.name if isinstance(cause, OverLimit) else getattr(cause, "name", None)
        if not isinstance(cause, (OverLimit, OverCeiling)) or name not in (
            *("credits_per_day", "credits_per_user", "credits_per_server"),
        ):
            return
        waits = any(not job.ended and job.created_at <= self.now - DAY for job in self.model.jobs)
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._spend_all()
            if cause.renewal is not None:
                assert not self._forbidden_again(requester, wanted, cause, cause.renewal.at), "the time is too early"
            if not waits:
                never = max([self.now, *(job.created_at for job in self.model.jobs)]) + DAY
                before = never if cause.renewal is None else cause.renewal.at - 1
                assert self._forbidden(requester, wanted, cause, before), "the time is too late"
        finally:
            self.connection.rollback()

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self._path)
        connection.execute("PRAGMA synchronous = OFF")  # what was committed outlives a process all the same
        return connection

    def _spend_all(self) -> None:
        for job in self.model.jobs:
            if job.state in ("queued", "running"):
                job_ends.ended(self.connection, job.id, "cancelled", error_code=None, spent=job.credits, now=self.now)
            elif not job.ended:
                if job.state == "rendered":
                    jobs.delivering(self.connection, job.id)
                job_ends.delivered(self.connection, job.id, 8, 1, job.credits, self.now)

    def _forbidden_again(
        self, requester: Requester, wanted: JobDemand, cause: OverLimit | OverCeiling, at: int
    ) -> bool:
        """Return whether it is refused for the same reason, by a limit that is not lower than it was."""
        try:
            admission.check(self.connection, requester, wanted, self.model.terms, at)
        except OverLimit as again:
            if not isinstance(cause, OverLimit) or again.limit.name != cause.limit.name:
                return False
            assert again.limit.value is not None
            assert cause.limit.value is not None
            return again.limit.value >= cause.limit.value
        except OverCeiling as again:
            return isinstance(cause, OverCeiling) and again.name == cause.name
        return False

    def _forbidden(self, requester: Requester, wanted: JobDemand, cause: OverLimit | OverCeiling, at: int) -> bool:
        """Return whether it is refused for any reason, or the limit has changed by then."""
        try:
            admission.check(self.connection, requester, wanted, self.model.terms, at)
        except NotAdmitted:
            return True
        if not isinstance(cause, OverLimit):
            return False
        value = self.model.limit("credits_per_day", requester.member_id, requester.scope_id, requester.role_ids, at)
        return value != cause.limit.value
