"""A model of limits and the ledger in plain Python: it keeps what happened and sums it up anew for each question.

It never asks the database. Credits are integers of 1/100, times are seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from bot.store.accounts import DAY
from bot.store.admission import Terms
from bot.store.limits import LimitName, Target

OPEN = ("queued", "running")
ENDED = ("delivered", "failed", "cancelled", "expired")


@dataclass
class Account:
    member: int | None
    closed_at: int | None = None


@dataclass
class Job:
    id: int
    account: int
    owner: int
    scope: int
    channel: int
    credits: int
    granted: int
    created_at: int
    count: int
    state: str = "queued"
    spent: int = 0
    ended_at: int = 0
    pictures: set[int] = field(default_factory=set)
    """The positions of the images that were rendered, by now deleted or not."""
    kept: set[int] = field(default_factory=set)
    """Those of them that have a file."""
    seen: set[int] = field(default_factory=set)
    """The positions of the images that were handed out."""
    device_ms: int = 0
    charges: dict[int, int] = field(default_factory=dict)
    """The credits that each image was charged, by position."""
    attempts: int = 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def may_be_handed_out(self) -> set[int]:
        return self.kept if self.state in ("rendered", "delivering", "delivered", "cancelled") else set()

    def end(self, state: str, now: int, *, forgotten: bool = False) -> None:
        """End it. Without a result it costs what somebody has seen or deleted, unless it was ended by its member."""
        paid = set(self.charges)
        if state in ("failed", "expired") and not forgotten:
            paid = self.seen | (self.pictures - self.kept)
            self.kept = set()
        if state == "delivered":
            self.seen |= self.kept
        spent = sum(charge for position, charge in self.charges.items() if position in paid)
        self.state, self.spent, self.ended_at = state, min(spent, self.credits), now

    @property
    def held(self) -> int:
        """The credits that count against limits: the price until the job has ended, then what was spent."""
        return self.spent if self.ended else self.credits

    @property
    def held_of_grants(self) -> int:
        """The part that grants pay: they pay last."""
        return max(0, self.held - (self.credits - self.granted))

    @property
    def held_of_day(self) -> int:
        return self.held - self.held_of_grants


@dataclass
class Set:
    value: int | None
    until: int | None


@dataclass
class Model:
    terms: Terms
    accounts: list[Account] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    grants: list[tuple[int, int, int]] = field(default_factory=list)
    """Tuples of account, scope and credits."""
    resets: list[tuple[int, int, int]] = field(default_factory=list)
    """Tuples of account, scope and the newest job that no longer counts."""
    limits: dict[tuple[int, Target, int, LimitName], Set] = field(default_factory=dict)

    def going_jobs(self) -> list[Job]:
        return [job for job in self.jobs if not job.ended]

    def open_jobs(self) -> list[Job]:
        return [job for job in self.jobs if job.state in OPEN]

    def of(self, member: int) -> set[int]:
        return {number for number, account in enumerate(self.accounts, 1) if account.member == member}

    def account(self, member: int) -> int:
        for number in self.of(member):
            if self.accounts[number - 1].closed_at is None:
                return number
        self.accounts.append(Account(member))
        return len(self.accounts)

    def close(self, member: int, now: int) -> None:
        mine = [self.accounts[number - 1] for number in self.of(member)]
        for account in mine:
            if account.closed_at is None:
                account.closed_at = max(now, *(other.closed_at or 0 for other in mine))

    def forget(self, member: int, now: int) -> None:
        """Forget a member's ended jobs and close their account."""
        for job in self.jobs:
            if job.owner == member and job.ended:
                job.owner, job.kept = 0, set()
        self.close(member, now)

    def unlink(self, now: int) -> None:
        """Detach closed accounts of more than a day ago; a member's newer account takes over what is left of grants."""
        for member in {account.member for account in self.accounts} - {None}:
            mine = self.of(member)
            kept = min((job.account for job in self.jobs if job.owner == member), default=max(mine) + 1)
            over = {number for number in mine if (self.accounts[number - 1].closed_at or now) <= now - DAY}
            gone = {number for number in over if number < kept}
            for scope in {grant[1] for grant in self.grants}:
                left = self._granted(gone, scope)
                if left and mine > gone:
                    self.grants.append((max(mine - gone), scope, left))
            for number in gone:
                self.accounts[number - 1].member = None
        for job in self.jobs:
            closed_at = self.accounts[job.account - 1].closed_at
            if job.ended and not job.scope and closed_at is not None and closed_at <= now - DAY:
                job.channel = 0

    def used(self, member: int, scope: int, now: int) -> int:
        forgiven = max(
            (job for account, place, job in self.resets if (account, place) in self._at(member, scope)), default=0
        )
        counting = self._counting(self.of(member), {member}, now)
        return sum(job.held_of_day for job in counting if job.scope == scope and job.id > forgiven)

    def granted(self, member: int, scope: int) -> int:
        return self._granted(self.of(member), scope)

    def used_everywhere(self, member: int, now: int) -> int:
        return sum(job.held for job in self._counting(self.of(member), {member}, now))

    def used_in(self, scope: int, now: int) -> int:
        return sum(job.held for job in self.jobs if job.scope == scope and self._counts(job, now))

    def waiting_long(self, member: int, scope: int, now: int) -> int:
        """Return the credits in use that come back at no known time, because their jobs have not ended."""
        recent = replace(self, jobs=[job for job in self.jobs if job.created_at > now - DAY])
        return self.used(member, scope, now) - recent.used(member, scope, now)

    def usage_days(self) -> dict[tuple[int, int, int, int], tuple[int, ...]]:
        """Return jobs, images, credits and device_ms by scope, day, account and channel."""
        days: dict[tuple[int, int, int, int], Counter[str]] = {}
        for job in self.jobs:
            if job.ended:
                day = days.setdefault((job.scope, job.ended_at // DAY, job.account, job.channel), Counter())
                day.update(jobs=1, images=len(job.pictures), credits=job.spent, device_ms=job.device_ms)
        return {
            key: tuple(day[name] for name in ("jobs", "images", "credits", "device_ms")) for key, day in days.items()
        }

    def count_open(self, member: int, scope: int) -> int:
        return sum(job.owner == member and job.scope == scope for job in self.open_jobs())

    def limit(self, name: LimitName, member: int, scope: int, roles: tuple[int, ...], now: int) -> int | None:
        """Return the member's limit, else the highest of their roles, else everyone's or the default, capped."""
        found = self._resolved(name, member, scope, roles, now)
        cap = self.terms.caps.get(name)
        return found if cap is None else cap if found is None else min(cap, found)

    def _resolved(self, name: LimitName, member: int, scope: int, roles: tuple[int, ...], now: int) -> int | None:
        if not scope:
            return self.terms.direct[name]
        groups: list[list[tuple[Target, int]]] = [
            [("user", member)],
            [("role", role) for role in roles],
            [("everyone", 0)],
        ]
        for group in groups:
            rows = [self.limits.get((scope, *target, name)) for target in group]
            values = [row.value for row in rows if row is not None and (row.until is None or row.until > now)]
            if values:
                return None if None in values else max(value for value in values if value is not None)
        return self.terms.defaults[name]

    def from_grants(self, member: int, scope: int, roles: tuple[int, ...], wanted: int, now: int) -> int:
        """Return the credits of a job that grants would have to pay."""
        limit = self.limit("credits_per_day", member, scope, roles, now)
        return 0 if limit is None else max(0, wanted - max(0, limit - self.used(member, scope, now)))

    def admits(self, member: int, scope: int, roles: tuple[int, ...], wanted: int, count: int, now: int) -> bool:
        values = {name: self.limit(name, member, scope, roles, now) for name in self.terms.defaults}
        at_a_time, may_wait, most = values["concurrent_jobs"], values["queued_jobs"], values["max_count"]
        terms, opened = self.terms, self.count_open(member, scope)
        return (
            (most is None or count <= most)
            and at_a_time != 0
            and (at_a_time is None or may_wait is None or opened < at_a_time + may_wait)
            and (terms.queue_length is None or self.has_place(member, scope, terms.queue_length))
            and self.from_grants(member, scope, roles, wanted, now) <= self.granted(member, scope)
            and (terms.credits_per_user is None or self.used_everywhere(member, now) + wanted <= terms.credits_per_user)
            and (
                terms.credits_per_server is None
                or not scope
                or self.used_in(scope, now) + wanted <= terms.credits_per_server
            )
        )

    def has_place(self, member: int, scope: int, length: int) -> bool:
        """Return whether a queue has a place that nobody else's share keeps free."""
        opened, shares = self.open_jobs(), self.terms.queue_shares
        own = sum(job.owner == member for job in opened)
        here = sum(job.scope == scope for job in opened)
        if len(opened) >= length or own >= max(1, int(shares.member * (length - len(opened) + own))):
            return False
        below_half = 2 * len(opened) < length
        return not scope or below_half or here < max(1, int(shares.server * (length - len(opened) + here)))

    def _at(self, member: int, scope: int) -> set[tuple[int, int]]:
        return {(account, scope) for account in self.of(member)}

    def _granted(self, accounts: set[int], scope: int) -> int:
        given = sum(credit for account, place, credit in self.grants if account in accounts and place == scope)
        return given - sum(job.held_of_grants for job in self.jobs if job.account in accounts and job.scope == scope)

    def _counting(self, accounts: set[int], owners: set[int], now: int) -> list[Job]:
        """Return the jobs of the last day that have these accounts, and older open ones of these owners."""
        return [
            job
            for job in self.jobs
            if self._counts(job, now)
            and (job.account in accounts if job.created_at > now - DAY else job.owner in owners)
        ]

    @staticmethod
    def _counts(job: Job, now: int) -> bool:
        return job.created_at > now - DAY or not job.ended
