"""Every picture that somebody was given is paid, in whatever order things happen to a real file.

A member asks for pictures and tries to get them without paying: by exporting or editing what is not posted yet, by
deleting pictures or all of their data, by letting results expire, in the middle of it or before a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import exports, images, jobs, ledger, privacy, recovery
from bot.store.accounts import DAY
from bot.store.admission import Terms
from bot.store.jobs import ImageEnd
from bot.store.limits import Requester
from bot.store.not_admitted import NotAdmitted
from tests.helpers.ledger_book import Book
from tests.helpers.ledger_model import OPEN, Job
from tests.helpers.no_limits import NO_LIMITS

MIRA, SCOPES, PRICE, CEILING = 1, (0, 60), 100, 600
TERMS = Terms(NO_LIMITS, NO_LIMITS, credits_per_user=CEILING, credits_per_server=CEILING, user_install=True)
PAUSES = (60, DAY // 2, DAY)


class Cheat:
    """What a member can do or wait for. Each step takes two numbers that choose among what there is."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.model, self.write = book.model, book.write

    def pick(self, number: int, *states: str) -> Job | None:
        found = [job for job in self.model.jobs if job.state in states]
        return found[-1 - number % len(found)] if found else None

    def ask(self, number: int, count: int) -> None:
        scope, wanted = SCOPES[number % 2], PRICE * (1 + count % 3)
        used = ledger.used_everywhere(self.book.connection, MIRA, self.book.now)
        try:
            self.book.admit(Requester(MIRA, scope, scope or None), wanted, wanted // PRICE)
        except NotAdmitted:
            assert used + wanted > CEILING
        else:
            assert used + wanted <= CEILING, "over the ceiling"

    def render(self, number: int, some: int) -> None:
        """Render all pictures of a job, which then waits to be posted; at times only the next one."""
        job = self.pick(number, *OPEN)
        if job is None:
            return
        if job.state == "queued":
            self.write(partial(jobs.started, job_id=job.id, now=self.book.now))
            job.state = "running"
        left = sorted(set(range(job.count)) - job.charges.keys())
        for position in left[:1] if some % 3 == 0 else left:
            end = ImageEnd("rendered", PRICE, 70, file=f"{job.id}-{position}.png")
            self.write(partial(jobs.image_ended, job_id=job.id, position=position, end=end))
            job.charges[position] = PRICE
            job.pictures.add(position)
            job.kept.add(position)
        if len(job.charges) == job.count:
            self.write(partial(jobs.rendered, job_id=job.id, now=self.book.now))
            job.state = "rendered"

    def deliver(self, number: int, outcome: int) -> None:
        """Try to post a result: it is posted, or not, or the process ends meanwhile."""
        job = self.pick(number, "rendered", "delivering")
        if job is None:
            return
        if job.state == "rendered":
            self.write(partial(jobs.delivering, job_id=job.id))
            job.state = "delivering"
        if outcome % 3 == 0:
            self.write(partial(jobs.delivered, job_id=job.id, channel_id=8, message_id=1, now=self.book.now))
            job.end("delivered", self.book.now)
        elif outcome % 3 == 1:
            self.write(partial(jobs.undelivered, job_id=job.id, due_at=self.book.now + 10))
            job.state = "rendered"

    def expire(self, number: int, _: int) -> None:
        if job := self.pick(number, "rendered", "delivering"):
            kept = sorted(f"{job.id}-{position}.png" for position in job.kept)
            expire = partial(jobs.ended, job_id=job.id, state="expired", error_code=None, note="", now=self.book.now)
            assert sorted(self.write(expire).files) == kept, "what is refunded cannot be handed out later"
            job.end("expired", self.book.now)

    def stop(self, number: int, how: int) -> None:
        if job := self.pick(number, *OPEN):
            state = ("cancelled", "failed")[how % 2]
            self.write(partial(jobs.ended, job_id=job.id, state=state, error_code=None, note="", now=self.book.now))  # type: ignore[arg-type]
            job.end(state, self.book.now)

    def see(self, number: int, position: int) -> None:
        """Have a picture shown or edited, of any job: its id may be known from before."""
        if self.model.jobs:
            job = self.model.jobs[-1 - number % len(self.model.jobs)]
            self.book.hand_out(job, position % job.count)

    def export(self, *_: int) -> None:
        for exported in exports.jobs_from(self.book.connection, MIRA, 1, 1000):
            (job,) = (job for job in self.model.jobs if job.id == exported.id)
            for file in exported.files:
                position = int(file.removesuffix(".png").partition("-")[2])
                assert (file in exported.unseen) == (position not in job.seen)
                if file in exported.unseen:
                    self.book.hand_out(job, position)

    def delete_picture(self, number: int, which: int) -> None:
        if (job := self.pick(number, "running", "rendered", "delivered")) and job.kept:
            position = sorted(job.kept)[which % len(job.kept)]
            self.write(partial(images.delete, image_id=self.book.image_id(job, position)))
            job.kept.discard(position)

    def lose_file(self, number: int, which: int) -> None:
        """Find at a delivery that a file is gone."""
        if (job := self.pick(number, "rendered")) and job.kept:
            position = sorted(job.kept)[which % len(job.kept)]
            self.write(partial(images.lost, job_id=job.id, positions=[position]))
            job.pictures.discard(position)
            job.kept.discard(position)
            job.charges[position] = PRICE if position in job.seen else 0

    def delete_data(self, restarts: int, _: int) -> None:
        """Have all data deleted; what is still worked on then, the next process ends."""
        live = {job.id for job in self.model.going_jobs()} if restarts % 2 else set()
        self.write(partial(privacy.forget_member, member_id=MIRA, now=self.book.now, live=live))
        for job in self.model.jobs:
            if job.state in ("rendered", "delivering") and not live:
                job.end("expired", self.book.now, forgotten=True)
        self.model.forget(MIRA, self.book.now)
        if live:
            self.write(partial(recovery.recover, now=self.book.now, given_up="given up"))
            for job in self.model.going_jobs():
                self.book.recovered(job)

    def wait(self, number: int, _: int) -> None:
        self.book.now += PAUSES[number % len(PAUSES)]
        self.write(partial(privacy.forget_closed, now=self.book.now))
        self.write(partial(privacy.unlink, now=self.book.now))
        for job in self.model.jobs:
            if job.ended and self.model.accounts[job.account - 1].closed_at is not None:
                job.owner, job.kept = 0, set()
        self.model.unlink(self.book.now)

    def check(self) -> None:
        recent = [job for job in self.model.jobs if job.created_at > self.book.now - DAY]
        seen = PRICE * sum(len(job.seen) for job in recent)
        assert seen <= ledger.used_everywhere(self.book.connection, MIRA, self.book.now) <= CEILING
        assert all(job.held >= PRICE * len(job.seen) for job in self.model.jobs)
        self.book.check_entries()


Step = Callable[[Cheat, int, int], None]
OFTEN: list[Step] = [Cheat.ask, Cheat.render, Cheat.deliver, Cheat.see]
STEPS: list[Step] = [
    *OFTEN,
    *OFTEN,
    Cheat.export,
    Cheat.expire,
    Cheat.stop,
    Cheat.delete_picture,
    Cheat.lose_file,
    Cheat.delete_data,
    Cheat.wait,
]
numbers = st.integers(0, 5)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(STEPS), numbers, numbers), min_size=50, max_size=60))
def test_what_was_handed_out_is_paid_and_ceilings_hold(steps: list[tuple[Step, int, int]]) -> None:
    book = Book(TERMS)
    try:
        cheat = Cheat(book)
        for step, first, second in steps:
            step(cheat, first, second)
            cheat.check()
    finally:
        book.close()
