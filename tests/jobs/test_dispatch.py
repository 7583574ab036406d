"""The dispatcher: jobs start in order, within their owners' limits, never while paused, and each exactly once."""

from __future__ import annotations

from collections import Counter
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.jobs.dispatch import Dispatcher, DispatchJob
from bot.store.guild_settings import INSTANCE

numbers = st.integers(0, 99)
guilds = st.sampled_from((INSTANCE, 60, 70))
OWNERS = (1, 2)


class DispatcherMachine(RuleBasedStateMachine):
    """``submitted`` are all jobs that have not finished, ``running`` the ids of those that were started, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher()
        self.newest = 0
        self.submitted: dict[int, DispatchJob] = {}
        self.running: list[int] = []
        self.paused: set[int] = set()
        self.keeping = False

    def job(
        self, job_id: int, owner: int, place: tuple[int, int | None], concurrent_jobs: int | None, *, alone: bool
    ) -> DispatchJob:
        return DispatchJob(job_id, owner, *place, concurrent_jobs, partial(self.on_start, job_id), alone)

    def on_start(self, job_id: int) -> None:
        assert job_id in self.submitted, "it was not submitted"
        assert job_id not in self.running, "it was started twice"
        job = self.submitted[job_id]
        assert not self.keeping, "a job was started that is to be kept"
        assert not self.is_paused(job), "a paused job was started"
        assert all(other.job_id > job_id for other in self.waiting() if self.goes_before(other, job))
        others = [self.submitted[other] for other in self.running]
        assert not any(other.alone for other in others), "a job was started beside one that runs alone"
        assert not (job.alone and others), "a job that runs alone was started beside others"
        self.running.append(job_id)

    def is_paused(self, job: DispatchJob) -> bool:
        return INSTANCE in self.paused or job.guild_id in self.paused

    def goes_before(self, other: DispatchJob, job: DispatchJob) -> bool:
        """Whether ``job`` has to wait for ``other`` if ``other`` is the older one."""
        same_key = other.concurrency_key == job.concurrency_key
        return other.job_id != job.job_id and same_key and not self.is_paused(other)

    def waiting(self) -> list[DispatchJob]:
        return [job for job_id, job in sorted(self.submitted.items()) if job_id not in self.running]

    @rule(
        owner=st.sampled_from(OWNERS),
        place=st.sampled_from(((60, 60), (70, 70), (0, None), (0, 70))),  # the last is user-installed
        concurrent_jobs=st.sampled_from((1, 2, 3, None)),
        alone=st.sampled_from((False, False, False, True)),
    )
    def submit_new(self, owner: int, place: tuple[int, int | None], concurrent_jobs: int | None, alone: bool) -> None:  # noqa: FBT001
        self.newest += 1
        self.submit(self.job(self.newest, owner, place, concurrent_jobs, alone=alone))

    def submit(self, job: DispatchJob) -> None:
        self.submitted[job.job_id] = job
        decision = self.dispatcher.submit(job)
        assert (decision == "started") == (job.job_id in self.running)
        waits = job.job_id not in self.running
        assert (decision == "kept") == (waits and self.keeping)
        assert (decision == "paused") == (waits and not self.keeping and self.is_paused(job))

    @precondition(lambda self: self.submitted)
    @rule(number=numbers)
    def finish(self, number: int) -> None:
        """A job is done, or was cancelled while it waited."""
        job_id = sorted(self.submitted)[number % len(self.submitted)]
        self.remove(job_id)
        self.dispatcher.finish(job_id)

    @precondition(lambda self: self.running)
    @rule(number=numbers)
    def submit_again(self, number: int) -> None:
        """A job that was withdrawn from the engine is submitted once more with its own id."""
        job = self.submitted[self.running[number % len(self.running)]]
        self.remove(job.job_id)
        self.dispatcher.finish(job.job_id)
        self.submit(job)

    def remove(self, job_id: int) -> None:
        del self.submitted[job_id]
        if job_id in self.running:
            self.running.remove(job_id)

    @rule(number=numbers)
    def finish_unknown(self, number: int) -> None:
        self.dispatcher.finish(self.newest + 1 + number)

    @rule(guild=guilds)
    def pause(self, guild: int) -> None:
        self.paused.add(guild)
        self.dispatcher.pause(guild)

    @rule(guild=guilds)
    def resume(self, guild: int) -> None:
        self.paused.discard(guild)
        self.dispatcher.resume(guild)

    @rule()
    def keep(self) -> None:
        self.keeping = True
        self.dispatcher.keep()

    @rule()
    def go_on(self) -> None:
        self.keeping = False
        self.dispatcher.stop_keeping()

    @invariant()
    def no_member_has_more_jobs_running_than_the_highest_limit_among_them(self) -> None:
        running = [self.submitted[job_id] for job_id in self.running]
        for key, count in Counter(job.concurrency_key for job in running).items():
            limits = [job.concurrent_jobs for job in running if job.concurrency_key == key]
            assert None in limits or count <= max(limit for limit in limits if limit is not None)

    @invariant()
    def every_waiting_job_has_a_reason(self) -> None:
        """It is kept or paused, its limit is reached, an older job of its key waits, or one runs alone or waits to."""
        if self.keeping or any(self.submitted[job_id].alone for job_id in self.running):
            return
        running = Counter(self.submitted[job_id].concurrency_key for job_id in self.running)
        held: set[tuple[int, int]] = set()
        for job in self.waiting():
            assert self.dispatcher.is_waiting(job.job_id)
            if self.is_paused(job):
                continue
            if job.concurrent_jobs is not None and running[job.concurrency_key] >= job.concurrent_jobs:
                held.add(job.concurrency_key)
            if job.alone and job.concurrency_key not in held:
                assert self.running, "it could run alone"
                return
            assert job.concurrency_key in held, "it was forgotten"

    @invariant()
    def what_goes_before_a_held_job_are_its_owner_s_started_and_older_jobs(self) -> None:
        """One is left out for each that ends, so whoever is told "2 before" and sees one end is told "1 before"."""
        for job in self.waiting():
            before = self.dispatcher.own_before(job.job_id, job.owner_id, job.scope_id)
            others = [self.submitted[other] for other in self.running if other != job.job_id]
            others += [other for other in self.waiting() if other.job_id < job.job_id and not self.is_paused(other)]
            assert before == len([other for other in others if other.concurrency_key == job.concurrency_key])
            if self.dispatcher.reason(job.job_id) == "held":
                assert before > 0

    @invariant()
    def no_started_job_is_waiting(self) -> None:
        assert not any(self.dispatcher.is_waiting(job_id) for job_id in self.running)


TestDispatcher = DispatcherMachine.TestCase
TestDispatcher.settings = settings(max_examples=150, stateful_step_count=40)


def submitted(*jobs: tuple[int, int | None]) -> tuple[Dispatcher, list[int]]:
    """A dispatcher with jobs of one member, given as (id, concurrent jobs); the list grows as jobs are started."""
    dispatcher, started = Dispatcher(), []
    for job_id, concurrent_jobs in jobs:
        dispatcher.submit(DispatchJob(job_id, 1, 60, 60, concurrent_jobs, partial(started.append, job_id)))
    return dispatcher, started


def test_a_member_s_jobs_start_by_their_ids_whichever_was_submitted_first() -> None:
    dispatcher, started = submitted((1, 1), (4, 1), (3, 1), (2, 1))
    for done in (1, 2, 3):
        dispatcher.finish(done)
    assert started == [1, 2, 3, 4]


def test_members_and_scopes_do_not_hold_each_other_up() -> None:
    dispatcher, started = submitted((1, 1), (2, 1))
    for owner, scope, job_id in ((2, 60, 3), (1, 0, 4), (1, 70, 5)):
        dispatcher.submit(DispatchJob(job_id, owner, scope, 60, 1, partial(started.append, job_id)))
    assert started == [1, 3, 4, 5]


def test_paused_jobs_start_in_order_when_resumed() -> None:
    dispatcher, started = Dispatcher(), []
    dispatcher.pause(60)
    for job_id in (3, 1, 2):
        assert dispatcher.submit(DispatchJob(job_id, 1, 60, 60, 2, partial(started.append, job_id))) == "paused"
    dispatcher.resume(60)
    assert started == [1, 2]
    dispatcher.finish(2)
    assert started == [1, 2, 3]


def test_one_pause_is_not_lifted_by_resuming_another() -> None:
    dispatcher, started = Dispatcher(), []
    dispatcher.pause(INSTANCE)
    dispatcher.pause(60)
    dispatcher.submit(DispatchJob(1, 1, 60, 60, None, partial(started.append, 1)))
    dispatcher.submit(DispatchJob(2, 1, 0, None, None, partial(started.append, 2)))
    dispatcher.resume(INSTANCE)
    assert started == [2]
    dispatcher.resume(60)
    assert started == [2, 1]


def test_a_job_with_a_higher_limit_does_not_overtake_an_older_one() -> None:
    dispatcher, started = submitted((1, 1), (2, 1), (3, 3), (4, 3))
    assert started == [1]
    dispatcher.finish(1)
    assert started == [1, 2, 3, 4]


def test_a_job_that_runs_alone_waits_for_the_others_and_lets_none_start_before_it() -> None:
    dispatcher, started = submitted((1, None), (2, None))
    alone = DispatchJob(3, 1, 60, 60, None, partial(started.append, 3), alone=True)
    assert dispatcher.submit(alone) == "waiting"
    assert dispatcher.predict(2, 60, 60, None) == "waiting"
    assert dispatcher.submit(DispatchJob(4, 2, 60, 60, None, partial(started.append, 4))) == "waiting"
    dispatcher.finish(1)
    assert started == [1, 2]
    dispatcher.finish(2)
    assert started == [1, 2, 3]
    dispatcher.finish(3)
    assert started == [1, 2, 3, 4]


def test_the_prediction_is_what_is_decided() -> None:
    dispatcher, started = submitted((1, 1))
    assert dispatcher.predict(1, 60, 60, 1) == "held"
    assert dispatcher.predict(1, 60, 60, 2) == "started"
    assert dispatcher.predict(1, 0, None, 1) == "started"
    dispatcher.pause(60)
    assert dispatcher.predict(1, 60, 60, 2) == "paused"
    assert dispatcher.predict(1, 0, None, 1) == "started"
    assert started == [1]
