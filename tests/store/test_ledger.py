"""The ledger in a real file compared with a model that sums all events again, as a state machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.store import accounts, jobs, ledger, limits, privacy, recovery
from bot.store.accounts import DAY
from bot.store.admission import JobDemand, Terms
from bot.store.job_states import EndState
from bot.store.jobs import ImageEnd, ImageState
from bot.store.limits import LimitName, LimitRow, Requester, Target
from bot.store.not_admitted import NotAdmitted
from bot.store.queue_places import QueueShares
from bot.store.recovery import Recovered
from tests.helpers.ledger_book import Book
from tests.helpers.ledger_model import OPEN, Set
from tests.helpers.no_limits import NO_LIMITS

T = TypeVar("T")
MEMBERS, SCOPES, ROLES = (1, 2), (0, 60, 70), (21, 22)
DEFAULTS: dict[LimitName, int | None] = {
    **NO_LIMITS,
    "credits_per_day": 900,
    "concurrent_jobs": 2,
    "queued_jobs": 8,
    "max_pixels": 100,
    "max_count": 4,
}
TERMS = Terms(DEFAULTS, {**DEFAULTS, "credits_per_day": 500}, caps={"max_count": 4}, user_install=True)

# What comes first is drawn most often: one member in one server.
members, scopes = st.sampled_from((1, *MEMBERS)), st.sampled_from((60, 60, *SCOPES))
roles = st.sampled_from(((), (21,), (22,), ROLES))
credit = st.one_of(st.sampled_from((1, 100, 250, 400)), st.integers(1, 400))
orders = st.lists(st.tuples(credit, st.sampled_from((1, 1, 1, 2, 4, 5))), min_size=1, max_size=5)
targets = st.one_of(
    st.just(("everyone", 0)), st.tuples(st.just("user"), members), st.tuples(st.just("role"), st.sampled_from(ROLES))
)
values = st.fixed_dictionaries(
    {},
    optional={
        "credits_per_day": st.sampled_from((150, 600, 0, 2000, None)),
        "concurrent_jobs": st.sampled_from((5, 1, 0, None)),
        "queued_jobs": st.sampled_from((5, 1, 0, None)),
        "max_count": st.sampled_from((4, 5, 1, None)),
    },
)
numbers = st.integers(0, 99)
spans = st.one_of(st.integers(1, 5), st.sampled_from((3600, DAY // 2, DAY - 1, DAY, DAY + 1, 3 * DAY)))


class Torn(Exception):
    """Raised in the middle of a transaction."""


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.book = Book(TERMS)
        self.model, self.write = self.book.model, self.book.write

    def teardown(self) -> None:
        self.book.close()

    @property
    def now(self) -> int:
        return self.book.now

    @staticmethod
    def pick(choice: Sequence[T], number: int) -> T:
        return choice[-1 - number % len(choice)]

    @initialize(given=st.sampled_from((900, 300, 0)), value=st.sampled_from((150, 400, 900)))
    def begin(self, given: int, value: int) -> None:
        """Make it likelier that grants have something to pay."""
        if given:
            self.grant(1, 60, given)
        self.limit(60, ("user", 1), {"credits_per_day": value, "concurrent_jobs": 5}, None)

    @rule(member=members, scope=scopes, own=roles, orders=orders)
    def submit(self, member: int, scope: int, own: tuple[int, ...], orders: list[tuple[int, int]]) -> None:
        requester = Requester(member, scope, scope or None, own)
        for wanted, count in orders:
            self.order(requester, wanted, count)

    def order(self, requester: Requester, wanted: int, count: int) -> None:
        who = requester.member_id, requester.scope_id
        before, rows = self.model.used(*who, self.now), self.book.rows()
        admits = self.model.admits(*who, requester.role_ids, wanted, count, self.now)
        try:
            self.book.admit(requester, wanted, count)
        except NotAdmitted as cause:
            assert not admits, f"refused, but nothing forbids it: {cause}"
            assert self.book.rows() == rows, "a refusal wrote something"
            self.book.check_renewal(requester, JobDemand(wanted, count, 100), cause)
            return
        assert admits, "accepted, but something forbids it"
        limit, used = self.model.limit("credits_per_day", *who, requester.role_ids, self.now), self.book.used(*who)
        assert limit is None or used <= max(limit, before), "over the limit"

    @precondition(lambda self: self.model.open_jobs())
    @rule(number=numbers, position=numbers, state=st.sampled_from(("rendered", "failed", "cancelled")), charge=credit)
    def draw(self, number: int, position: int, state: ImageState, charge: int) -> None:
        job = self.pick(self.model.open_jobs(), number)
        position %= job.count
        if job.state == "queued":
            self.write(partial(jobs.started, job_id=job.id, now=self.now))
            job.state = "running"
        charge = 0 if state == "failed" else charge
        end = ImageEnd(state, charge, 70)
        self.write(partial(jobs.image_ended, job_id=job.id, position=position, end=end))
        job.charges[position] = charge
        for pictures in (job.pictures, job.kept):
            (pictures.add if state == "rendered" else pictures.discard)(position)
        job.device_ms += 70

    @precondition(lambda self: self.model.going_jobs())
    @rule(number=numbers, end=st.sampled_from(("delivered", "delivering", "rendered")))
    def deliver(self, number: int, end: Literal["delivered", "delivering", "rendered"]) -> None:
        """Move a job along: to delivered and settled, or to a state before that."""
        job = self.pick(self.model.going_jobs(), number)
        if job.state == "queued":
            self.write(partial(jobs.started, job_id=job.id, now=self.now))
        if job.state in OPEN:
            self.write(partial(jobs.rendered, job_id=job.id, now=self.now))
        if job.state != "delivering":
            self.write(partial(jobs.delivering, job_id=job.id))
        job.state = end
        if end == "delivered":
            self.write(partial(jobs.delivered, job_id=job.id, channel_id=8, message_id=1, now=self.now))
            job.end(end, self.now)
        elif end == "rendered":
            self.write(partial(jobs.undelivered, job_id=job.id, due_at=self.now + 10))

    @precondition(lambda self: self.model.jobs)
    @rule(number=numbers, state=st.sampled_from(("cancelled", "cancelled", "failed", "expired")))
    def stop(self, number: int, state: EndState) -> None:
        """End a job as cancelled, failed or expired; if that state may not follow, nothing changes."""
        job = self.pick(self.model.going_jobs() or self.model.jobs, number)
        before = self.book.rows()
        try:
            self.write(partial(jobs.ended, job_id=job.id, state=state, error_code=None, note="", now=self.now))
        except jobs.StateError:
            assert job.ended or (state == "expired") == (job.state in OPEN)
            assert self.book.rows() == before
        else:
            job.end(state, self.now)

    @rule(member=members, scope=scopes, given=st.integers(1, 900))
    def grant(self, member: int, scope: int, given: int) -> None:
        self.write(partial(ledger.grant, member_id=member, scope_id=scope, credit=given, now=self.now))
        self.model.grants.append((self.model.account(member), scope, given))

    @rule(member=members, scope=scopes)
    def reset(self, member: int, scope: int) -> None:
        before = self.model.used(member, scope, self.now)
        assert self.write(partial(ledger.reset, member_id=member, scope_id=scope, now=self.now)) == before
        self.model.resets.append((self.model.account(member), scope, len(self.model.jobs)))
        assert self.book.used(member, scope) == 0

    @rule(scope=st.sampled_from((60, 60, 70)), whose=targets, changes=values, span=st.one_of(st.none(), spans))
    def limit(
        self, scope: int, whose: tuple[Target, int], changes: dict[LimitName, int | None], span: int | None
    ) -> None:
        until = None if span is None else self.now + span
        for name, value in changes.items():
            row = LimitRow(*whose, name, value, until)
            self.write(partial(limits.write_limit, guild_id=scope, row=row))
            self.model.limits[scope, *whose, name] = Set(value, until)

    @precondition(lambda self: self.model.limits)
    @rule(number=numbers)
    def clear(self, number: int) -> None:
        key = self.pick(sorted(self.model.limits), number)
        self.write(partial(limits.clear_limit, guild_id=key[0], target=key[1], target_id=key[2], name=key[3]))
        del self.model.limits[key]

    @rule(
        user=st.sampled_from((None, 700, 1500)),
        server=st.sampled_from((None, 900, 2500)),
        queue=st.sampled_from((None, 3, 8)),
        shares=st.sampled_from((QueueShares(), QueueShares(0.5, 0.25))),
    )
    def ceilings(self, user: int | None, server: int | None, queue: int | None, shares: QueueShares) -> None:
        ceilings = {"credits_per_user": user, "credits_per_server": server, "queue_length": queue}
        self.model.terms = replace(TERMS, **ceilings, queue_shares=shares)  # type: ignore[arg-type]

    @rule(member=members)
    def delete_data(self, member: int) -> None:
        self.write(partial(privacy.forget_member, member_id=member, now=self.now))
        for job in self.model.jobs:
            if job.owner == member and job.state in ("rendered", "delivering"):
                job.end("expired", self.now, forgotten=True)
        self.model.forget(member, self.now)

    @rule(span=spans, back=st.sampled_from((False, False, True)), chores=st.booleans())
    def clock(self, span: int, back: bool, chores: bool) -> None:  # noqa: FBT001
        """Let time pass or set the clock back, then perhaps run the daily housekeeping."""
        self.book.now += -span if back else span
        if not chores:
            return
        self.write(partial(limits.drop_expired, now=self.now))
        kept = {key: row for key, row in self.model.limits.items() if row.until is None or row.until > self.now}
        self.model.limits = kept
        self.write(partial(privacy.unlink, now=self.now))
        self.model.unlink(self.now)

    @rule(member=members, given=credit, dies=st.booleans())
    def crash(self, member: int, given: int, dies: bool) -> None:  # noqa: FBT001
        """Interrupt a transaction by an error or by the end of the process; the next one goes on with what is open."""
        before = self.book.rows()

        def torn(connection: sqlite3.Connection) -> None:
            ledger.grant(connection, member, SCOPES[1], given, self.now)
            recovery.recover(connection, self.now, given_up="given up")
            accounts.close_account(connection, member, self.now)
            if dies:
                self.book.die()
            raise Torn

        with suppress(Torn):
            self.write(torn)
        assert self.book.rows() == before
        if dies:
            recovered = self.write(partial(recovery.recover, now=self.now, given_up="given up"))
            given_up = [job for job in self.model.going_jobs() if self.book.recovered(job)]
            states = [job.state for job in self.model.going_jobs()]
            assert recovered == Recovered(states.count("queued"), len(given_up), states.count("rendered"))

    @invariant()
    def sums_are_those_of_the_model(self) -> None:
        self.book.check_sums(MEMBERS, SCOPES)

    @invariant()
    def each_job_s_entries_come_to_its_price(self) -> None:
        self.book.check_entries()

    @invariant()
    def the_rollup_is_what_was_settled(self) -> None:
        self.book.check_usage()


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
