"""Whether a job may be: everything that can forbid it is looked at in the transaction that inserts it.

Raises :class:`NotAdmitted`; then nothing was written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bot.store import jobs, ledger, moderation
from bot.store.guild_settings import INSTANCE
from bot.store.jobs import NewJob
from bot.store.ledger import Renewal
from bot.store.limits import Limit, LimitName, Requester, Values, resolve

Ceiling = Literal["credits_per_user", "credits_per_server", "queue_length"]


class NotAdmitted(Exception):
    """Something forbids the job."""


@dataclass
class Paused(NotAdmitted):
    """By the server's admins, or by the operator."""

    by: Literal["server", "operator"]


@dataclass
class NotServed(NotAdmitted):
    """The operator offers the bot in servers alone: not in direct messages, or not where it is not a member."""

    direct: bool


@dataclass
class Blocked(NotAdmitted):
    until: int | None
    reason: str | None


@dataclass
class WrongPlace(NotAdmitted):
    """The admins do not want the bot here, but perhaps in the ``allowed`` channels."""

    age_restricted_only: bool
    allowed: tuple[int, ...] = ()


@dataclass
class OverLimit(NotAdmitted):
    """A limit would be passed: ``used`` of it is in use and ``wanted`` was asked for.

    For credits ``renewal`` says when enough of them come back. It is None where they never will, and where what waits
    in line for more than a day holds them.
    """

    limit: Limit
    used: int
    wanted: int
    granted: int = 0
    renewal: Renewal | None = None


@dataclass
class OverCeiling(NotAdmitted):
    """The same for what the operator set."""

    name: Ceiling
    ceiling: int
    used: int
    wanted: int
    renewal: Renewal | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the whole instance: limits where nothing else is set, in servers and in direct messages, and
    ceilings that no server's admin can lift. None is "unlimited"."""

    defaults: Values
    direct: Values
    credits_per_user: int | None = None
    credits_per_server: int | None = None
    queue_length: int | None = None
    caps: dict[LimitName, int] = field(default_factory=dict)
    direct_messages: bool = True
    user_install: bool = False

    def limits(self, connection: sqlite3.Connection, requester: Requester, now: int) -> dict[LimitName, Limit]:
        """What holds for a member here, nothing above the operator's caps."""
        found = resolve(connection, requester, self.defaults if requester.scope_id else self.direct, now)
        for name, cap in self.caps.items():
            value = found[name].value
            if value is None or value > cap:
                found[name] = Limit(name, cap, "ceiling")
        return found


@dataclass(frozen=True, slots=True)
class QuotaState:
    """What a member may use and has used. ``used`` are the day's credits, ``granted`` what is left of grants."""

    limits: dict[LimitName, Limit]
    used: int
    granted: int
    open_jobs: int
    renewals: tuple[Renewal, ...] = ()
    used_everywhere: int | None = None
    used_in_server: int | None = None

    def left(self, terms: Terms) -> int | None:
        """Credits that can still be spent, None where there is no end to them."""
        day = self.limits["credits_per_day"].value
        open_ends = [
            None if day is None else max(0, day - self.used) + self.granted,
            _rest(terms.credits_per_user, self.used_everywhere),
            _rest(terms.credits_per_server, self.used_in_server),
        ]
        ends = [end for end in open_ends if end is not None]
        return min(ends) if ends else None


def check_place(connection: sqlite3.Connection, requester: Requester, terms: Terms, now: int) -> None:
    """Raise where the member, the place or the hour is wrong, whatever it costs."""
    direct = requester.guild_id is None
    if not requester.scope_id and not (terms.direct_messages if direct else terms.user_install):
        raise NotServed(direct)
    if moderation.setting(connection, INSTANCE, moderation.PAUSED) == "on":
        raise Paused("operator")
    for guild_id in {INSTANCE, requester.guild_id or INSTANCE}:
        block = moderation.find_block(connection, guild_id, requester.member_id, now)
        if block is not None:
            raise Blocked(block.until, block.reason)
    if requester.guild_id is None:
        return
    if moderation.setting(connection, requester.guild_id, moderation.PAUSED) == "on":
        raise Paused("server")
    places = moderation.channel_rules(connection, requester.guild_id)
    if not moderation.allowed_in(places, requester.channels):
        raise WrongPlace(False, tuple(channel_id for channel_id, rule in places.items() if rule == "allow"))
    if (
        moderation.setting(connection, requester.guild_id, moderation.AGE_RESTRICTED_ONLY) == "on"
        and not requester.age_restricted
    ):
        raise WrongPlace(True)


def quota_state(connection: sqlite3.Connection, requester: Requester, terms: Terms, now: int) -> QuotaState:
    """What the member may use and has used, with when it comes back."""
    member, scope = requester.member_id, requester.scope_id
    return QuotaState(
        terms.limits(connection, requester, now),
        ledger.used(connection, member, scope, now),
        ledger.granted(connection, member, scope),
        jobs.count_open(connection, member, scope),
        tuple(ledger.renewals(connection, member, scope, now)),
        ledger.used_everywhere(connection, member, now) if terms.credits_per_user is not None else None,
        ledger.used_in(connection, scope, now) if terms.credits_per_server is not None and scope else None,
    )


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that was inserted, and how many of its owner's jobs may be drawn at a time (None: any number)."""

    job_id: int
    concurrent_jobs: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job needs: its credits in 1/100, how many pictures, and how many pixels each."""

    credits: int
    count: int
    pixels: int


def check(
    connection: sqlite3.Connection, requester: Requester, wanted: Wanted, terms: Terms, now: int
) -> tuple[Limit, int]:
    """Raise where anything forbids such a job; else the limit of jobs at a time, and what a grant has to pay."""
    check_place(connection, requester, terms, now)
    limits = terms.limits(connection, requester, now)
    _check_size(limits, wanted)
    _check_room(connection, requester, limits, terms)
    granted = _check_credits(connection, requester, limits["credits_per_day"], wanted.credits, now)
    _check_ceilings(connection, requester, terms, wanted.credits, now)
    return limits["concurrent_jobs"], granted


def admit(
    connection: sqlite3.Connection, new: NewJob, requester: Requester, terms: Terms, *, pixels: int
) -> Admitted | None:
    """Check everything, insert the job and reserve its credits; None where its source already made one."""
    if jobs.exists(connection, new.event_id):
        return None
    wanted = Wanted(new.credits, len(new.images), pixels)
    at_a_time, granted = check(connection, requester, wanted, terms, new.created_at)
    job_id = jobs.insert(connection, new, granted=granted)
    assert job_id is not None, "looked for above, in this transaction"
    return Admitted(job_id, at_a_time.value)


def _check_size(limits: dict[LimitName, Limit], wanted: Wanted) -> None:
    for limit, number in ((limits["max_pixels"], wanted.pixels), (limits["max_count"], wanted.count)):
        if limit.value is not None and number > limit.value:
            raise OverLimit(limit, 0, number)


def _check_room(
    connection: sqlite3.Connection, requester: Requester, limits: dict[LimitName, Limit], terms: Terms
) -> None:
    """As many jobs as are drawn at a time, and as many more as may wait."""
    at_a_time, may_wait = limits["concurrent_jobs"].value, limits["queued_jobs"].value
    if at_a_time == 0:
        raise OverLimit(limits["concurrent_jobs"], 0, 1)
    if at_a_time is not None and may_wait is not None:
        waiting = jobs.count_open(connection, requester.member_id, requester.scope_id) - at_a_time
        if waiting >= may_wait:
            raise OverLimit(limits["queued_jobs"], waiting, 1)
    if terms.queue_length is not None and (waiting := jobs.count_queue(connection)) >= terms.queue_length:
        raise OverCeiling("queue_length", terms.queue_length, waiting, 1)


def _check_credits(connection: sqlite3.Connection, requester: Requester, limit: Limit, wanted: int, now: int) -> int:
    """The part that a grant has to pay."""
    if limit.value is None:
        return 0
    member, scope = requester.member_id, requester.scope_id
    used = ledger.used(connection, member, scope, now)
    beyond = max(0, used + wanted - max(limit.value, used))
    if not beyond:
        return 0
    granted = ledger.granted(connection, member, scope)
    if beyond > granted:
        missing = used + wanted - granted - limit.value
        renewal = _enough(ledger.renewals(connection, member, scope, now), missing)
        raise OverLimit(limit, used, wanted, granted, renewal)
    return beyond


def _check_ceilings(connection: sqlite3.Connection, requester: Requester, terms: Terms, wanted: int, now: int) -> None:
    if terms.credits_per_user is not None:
        used = ledger.used_everywhere(connection, requester.member_id, now)
        if (missing := used + wanted - terms.credits_per_user) > 0:
            coming = ledger.renewals_everywhere(connection, now, member_id=requester.member_id)
            raise OverCeiling("credits_per_user", terms.credits_per_user, used, wanted, _enough(coming, missing))
    if terms.credits_per_server is not None and requester.scope_id:
        used = ledger.used_in(connection, requester.scope_id, now)
        if (missing := used + wanted - terms.credits_per_server) > 0:
            coming = ledger.renewals_everywhere(connection, now, scope_id=requester.scope_id)
            raise OverCeiling("credits_per_server", terms.credits_per_server, used, wanted, _enough(coming, missing))


def _enough(coming: Iterable[Renewal], missing: int) -> Renewal | None:
    """When that many credits have come back in all, and how many those are; None where these are not enough."""
    total = 0
    for renewal in coming:
        total += renewal.credits
        if total >= missing:
            return Renewal(renewal.at, total)
    return None


def _rest(ceiling: int | None, used: int | None) -> int | None:
    return None if ceiling is None or used is None else max(0, ceiling - used)
