"""The gate: as many jobs of a member at a time as may be, in their order, none while paused, and none forgotten."""

from __future__ import annotations

from collections import Counter
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.jobs.dispatch import Dispatcher, WaitingJob
from bot.store.guild_settings import INSTANCE

numbers = st.integers(0, 99)
guilds = st.sampled_from((INSTANCE, 60, 70))
OWNERS = (1, 2)


class GateMachine(RuleBasedStateMachine):
    """``entered`` are all tickets at the gate or through, ``through`` those that were started, in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Dispatcher()
        self.newest = 0
        self.entered: dict[int, WaitingJob] = {}
        self.through: list[int] = []
        self.paused: set[int] = set()
        self.opened = False

    def ticket(self, job_id: int, owner: int, place: tuple[int, int | None], at_a_time: int | None) -> WaitingJob:
        return WaitingJob(job_id, owner, *place, at_a_time, partial(self.started, job_id))

    def started(self, job_id: int) -> None:
        assert job_id in self.entered, "it was not at the gate"
        assert job_id not in self.through, "it was let through twice"
        if not self.opened:
            ticket = self.entered[job_id]
            assert not self.is_paused(ticket), "what is paused was let through"
            assert all(earlier.job_id > job_id for earlier in self.waiting() if self.ahead_of(earlier, ticket))
        self.through.append(job_id)

    def is_paused(self, ticket: WaitingJob) -> bool:
        return INSTANCE in self.paused or ticket.guild_id in self.paused

    def ahead_of(self, other: WaitingJob, ticket: WaitingJob) -> bool:
        """Whether it would have to wait for that one, had it come later."""
        return other.job_id != ticket.job_id and other.lane == ticket.lane and not self.is_paused(other)

    def waiting(self) -> list[WaitingJob]:
        return [ticket for job_id, ticket in sorted(self.entered.items()) if job_id not in self.through]

    @rule(
        owner=st.sampled_from(OWNERS),
        place=st.sampled_from(((60, 60), (70, 70), (0, None), (0, 70))),  # at last a user-installed one
        at_a_time=st.sampled_from((1, 2, 3, None)),
    )
    @precondition(lambda self: not self.opened)
    def enter(self, owner: int, place: tuple[int, int | None], at_a_time: int | None) -> None:
        self.newest += 1
        self.enter_ticket(self.ticket(self.newest, owner, place, at_a_time))

    def enter_ticket(self, ticket: WaitingJob) -> None:
        self.entered[ticket.job_id] = ticket
        verdict = self.gate.enter(ticket)
        assert (verdict == "through") == (ticket.job_id in self.through)
        assert (verdict == "paused") == (ticket.job_id not in self.through and self.is_paused(ticket))

    @precondition(lambda self: self.entered)
    @rule(number=numbers)
    def leave(self, number: int) -> None:
        """It is done, or was cancelled while it waited."""
        job_id = sorted(self.entered)[number % len(self.entered)]
        self.forget(job_id)
        self.gate.leave(job_id)

    @precondition(lambda self: self.through and not self.opened)
    @rule(number=numbers)
    def come_back(self, number: int) -> None:
        """Taken back from the engine, it gets in line again with the number that it had."""
        ticket = self.entered[self.through[number % len(self.through)]]
        self.forget(ticket.job_id)
        self.gate.leave(ticket.job_id)
        self.enter_ticket(ticket)

    def forget(self, job_id: int) -> None:
        del self.entered[job_id]
        if job_id in self.through:
            self.through.remove(job_id)

    @rule(number=numbers)
    def leave_twice(self, number: int) -> None:
        """Who is no longer there may leave again."""
        self.gate.leave(self.newest + 1 + number)

    @rule(guild=guilds)
    @precondition(lambda self: not self.opened)
    def pause(self, guild: int) -> None:
        self.paused.add(guild)
        self.gate.pause(guild)

    @rule(guild=guilds)
    def resume(self, guild: int) -> None:
        self.paused.discard(guild)
        self.gate.resume(guild)

    @rule()
    def open(self) -> None:
        self.opened = True
        self.paused.clear()
        self.gate.open()
        assert not self.waiting(), "somebody was left at the gate"

    @invariant()
    def no_lane_has_more_at_work_than_the_newest_let_through_allowed(self) -> None:
        if self.opened:
            return
        at_work: Counter[tuple[int, int]] = Counter()
        for job_id in self.through:
            ticket = self.entered[job_id]
            at_work[ticket.lane] += 1
        for lane, count in at_work.items():
            allowed = [self.entered[job_id].at_a_time for job_id in self.through if self.entered[job_id].lane == lane]
            assert None in allowed or count <= max(most for most in allowed if most is not None)

    @invariant()
    def who_waits_has_a_reason(self) -> None:
        """A pause, as many at work in the lane as it may stand beside, or one before it that waits for these."""
        at_work = Counter(self.entered[job_id].lane for job_id in self.through)
        held: set[tuple[int, int]] = set()
        for ticket in self.waiting():
            assert self.gate.waits(ticket.job_id)
            if self.is_paused(ticket):
                continue
            if ticket.at_a_time is not None and at_work[ticket.lane] >= ticket.at_a_time:
                held.add(ticket.lane)
            assert ticket.lane in held, "it was forgotten"

    @invariant()
    def who_is_through_does_not_wait(self) -> None:
        assert not any(self.gate.waits(job_id) for job_id in self.through)


TestGate = GateMachine.TestCase
TestGate.settings = settings(max_examples=150, stateful_step_count=40)


def opened_gate(*jobs: tuple[int, int | None]) -> tuple[Dispatcher, list[int]]:
    """A gate that one lane's jobs have entered (number, at a time), and which of them were started, as it goes on."""
    gate, order = Dispatcher(), []
    for job_id, at_a_time in jobs:
        gate.enter(WaitingJob(job_id, 1, 60, 60, at_a_time, partial(order.append, job_id)))
    return gate, order


def test_a_lane_goes_by_the_jobs_numbers_whoever_entered_first() -> None:
    gate, order = opened_gate((1, 1), (4, 1), (3, 1), (2, 1))
    for done in (1, 2, 3):
        gate.leave(done)
    assert order == [1, 2, 3, 4]


def test_lanes_do_not_hold_each_other_up() -> None:
    gate, order = opened_gate((1, 1), (2, 1))
    for owner, scope, job_id in ((2, 60, 3), (1, 0, 4), (1, 70, 5)):
        gate.enter(WaitingJob(job_id, owner, scope, 60, 1, partial(order.append, job_id)))
    assert order == [1, 3, 4, 5]


def test_what_waits_while_paused_goes_in_order_when_it_is_over() -> None:
    gate, order = Dispatcher(), []
    gate.pause(60)
    for job_id in (3, 1, 2):
        assert gate.enter(WaitingJob(job_id, 1, 60, 60, 2, partial(order.append, job_id))) == "paused"
    gate.resume(60)
    assert order == [1, 2]
    gate.leave(2)
    assert order == [1, 2, 3]


def test_one_pause_is_not_lifted_by_resuming_another() -> None:
    gate, order = Dispatcher(), []
    gate.pause(INSTANCE)
    gate.pause(60)
    gate.enter(WaitingJob(1, 1, 60, 60, None, partial(order.append, 1)))
    gate.enter(WaitingJob(2, 1, 0, None, None, partial(order.append, 2)))
    gate.resume(INSTANCE)
    assert order == [2]
    gate.resume(60)
    assert order == [2, 1]


def test_who_may_have_more_at_a_time_now_does_not_go_before_who_waits() -> None:
    gate, order = opened_gate((1, 1), (2, 1), (3, 3), (4, 3))
    assert order == [1]
    gate.leave(1)
    assert order == [1, 2, 3, 4]
