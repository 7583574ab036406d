"""Checks of everything that can forbid a job, in the transaction that inserts it.

They raise a :class:`bot.store.not_admitted.NotAdmitted`; then nothing was written. Credits are in 1/100.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.store import audit, job_rows, jobs, ledger, moderation
from bot.store.guild_settings import AGE_RESTRICTED_ONLY, INSTANCE, PAUSED, PRIVATE_PICTURES, find_setting
from bot.store.jobs import NewJob
from bot.store.ledger import Renewal
from bot.store.limits import Limit, LimitName, Requester, Values, resolve
from bot.store.model_rules import allowed_models
from bot.store.not_admitted import (
    Blocked,
    ModelNotAllowed,
    NoPrivatePictures,
    NotServed,
    OverCeiling,
    OverLimit,
    OverShare,
    Paused,
    WrongPlace,
)
from bot.store.queue_places import NO_SHARES, QueueShares, count_places


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the whole instance. None is "unlimited".

    ``defaults`` are the limits for which a server has set nothing, ``direct`` those of direct messages and
    user-installed use. No server's admin can raise the ceilings (``credits_per_user``, ``credits_per_server``,
    ``queue_length`` with its ``queue_shares``) or set a limit above its cap; ``floors`` are the smallest values above 0
    that make sense.
    """

    defaults: Values
    direct: Values
    credits_per_user: int | None = None
    credits_per_server: int | None = None
    queue_length: int | None = None
    queue_shares: QueueShares = NO_SHARES
    caps: dict[LimitName, int] = field(default_factory=dict)
    floors: dict[LimitName, int] = field(default_factory=dict)
    direct_messages: bool = True
    user_install: bool = False

    def limits(self, connection: sqlite3.Connection, requester: Requester, now: int) -> dict[LimitName, Limit]:
        """Return the limits that hold for the requester, none of them above its cap."""
        found = resolve(connection, requester, self.defaults if requester.scope_id else self.direct, now)
        for name, cap in self.caps.items():
            value = found[name].value
            if value is None or value > cap:
                found[name] = Limit(name, cap, "ceiling")
        return found


@dataclass(frozen=True, slots=True)
class QuotaState:
    """What a member may use and has used.

    ``used`` are credits of the last 24 hours, ``granted`` what is left of grants. ``used_everywhere`` and
    ``used_in_server`` are None unless the operator set such a ceiling.
    """

    limits: dict[LimitName, Limit]
    used: int
    granted: int
    open_jobs: int
    renewals: tuple[Renewal, ...] = ()
    used_everywhere: int | None = None
    used_in_server: int | None = None

    def left(self, terms: Terms) -> int | None:
        """Return the credits that the member can still spend, None if unlimited."""
        day = self.limits["credits_per_day"].value
        bounds = [
            None if day is None else max(0, day - self.used) + self.granted,
            _rest(terms.credits_per_user, self.used_everywhere),
            _rest(terms.credits_per_server, self.used_in_server),
        ]
        return min((bound for bound in bounds if bound is not None), default=None)


def check_place(connection: sqlite3.Connection, requester: Requester, terms: Terms, now: int) -> None:
    """Raise :class:`NotAdmitted` if the requester can have no job here now, whatever its price."""
    direct = requester.guild_id is None
    if not requester.scope_id and not (terms.direct_messages if direct else terms.user_install):
        raise NotServed(direct)
    check_rules(connection, requester, now)


def check_rules(connection: sqlite3.Connection, requester: Requester, now: int) -> None:
    """Raise :class:`NotAdmitted` if pauses, blocks or rules of channels keep the requester from using the bot here.

    They are those of the server where it happens, also for members who installed the bot for themselves.
    """
    if find_setting(connection, INSTANCE, PAUSED) == "on":
        raise Paused("operator")
    for guild_id in {INSTANCE, requester.guild_id or INSTANCE}:
        block = moderation.find_block(connection, guild_id, requester.member_id, now)
        if block is not None:
            raise Blocked(block.until, block.reason, audit.newest_actor(connection, guild_id, "block", block.member_id))
    if requester.guild_id is None:
        return
    if find_setting(connection, requester.guild_id, PAUSED) == "on":
        raise Paused("server")
    places = moderation.channel_rules(connection, requester.guild_id)
    if not moderation.allowed_in(places, requester.channels):
        allowed = tuple(channel_id for channel_id, rule in places.items() if rule == "allow")
        raise WrongPlace(age_restricted_only=False, allowed=allowed)
    if not requester.age_restricted and find_setting(connection, requester.guild_id, AGE_RESTRICTED_ONLY) == "on":
        raise WrongPlace(age_restricted_only=True)


def quota_state(connection: sqlite3.Connection, requester: Requester, terms: Terms, now: int) -> QuotaState:
    """Return what the requester may use and has used, and when credits come back."""
    member, scope = requester.member_id, requester.scope_id
    return QuotaState(
        terms.limits(connection, requester, now),
        ledger.used(connection, member, scope, now),
        ledger.granted(connection, member, scope),
        job_rows.count_open(connection, member, scope),
        tuple(ledger.renewals(connection, member, scope, now)),
        ledger.used_everywhere(connection, member, now) if terms.credits_per_user is not None else None,
        ledger.used_in(connection, scope, now) if terms.credits_per_server is not None and scope else None,
    )


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that was inserted. ``concurrent_jobs`` of its owner's jobs may run at a time (None: any number)."""

    job_id: int
    concurrent_jobs: int | None


@dataclass(frozen=True, slots=True)
class JobDemand:
    """What a job needs: credits in 1/100, the number of images, the pixels of each, and whether they are private.

    ``model`` is the name of its model, one of ``models``, which are all that the bot has; "" and none if they need not
    be checked.
    """

    credits: int
    count: int
    pixels: int
    private: bool = False
    model: str = ""
    models: tuple[str, ...] = ()


def check(
    connection: sqlite3.Connection, requester: Requester, demand: JobDemand, terms: Terms, now: int
) -> tuple[Limit, int]:
    """Return the limit ``concurrent_jobs`` and the credits that a grant has to pay.

    Raises :class:`NotAdmitted` if anything forbids such a job.
    """
    check_place(connection, requester, terms, now)
    if demand.private and find_setting(connection, requester.guild_id or INSTANCE, PRIVATE_PICTURES) == "off":
        raise NoPrivatePictures
    if demand.models and demand.model not in (allowed := allowed_models(connection, requester, demand.models)):
        raise ModelNotAllowed(demand.model, allowed)
    limits = terms.limits(connection, requester, now)
    _check_demand(limits, demand)
    _check_room(connection, requester, limits, terms)
    granted = _check_credits(connection, requester, limits["credits_per_day"], demand.credits, now)
    _check_ceilings(connection, requester, terms, demand.credits, now)
    return limits["concurrent_jobs"], granted


def admit(
    connection: sqlite3.Connection,
    new: NewJob,
    requester: Requester,
    demand: JobDemand,
    terms: Terms,
    *,
    spoiler: bool = False,
) -> Admitted | None:
    """Check everything, insert the job and reserve its credits. Returns None if its event has already made a job.

    ``demand`` is what the job needs; its credits are those of ``new``. With ``spoiler`` its pictures are hidden until
    somebody clicks.
    """
    if job_rows.exists(connection, new.event_id):
        return None
    concurrent, granted = check(connection, requester, demand, terms, new.created_at)
    job_id = jobs.insert(connection, new, granted=granted, concurrent_jobs=concurrent.value, spoiler=spoiler)
    assert job_id is not None, "checked above, in this transaction"
    return Admitted(job_id, concurrent.value)


def _check_demand(limits: dict[LimitName, Limit], demand: JobDemand) -> None:
    for limit, number in ((limits["max_pixels"], demand.pixels), (limits["max_count"], demand.count)):
        if limit.value is not None and number > limit.value:
            raise OverLimit(limit, 0, number)


def _check_room(
    connection: sqlite3.Connection, requester: Requester, limits: dict[LimitName, Limit], terms: Terms
) -> None:
    """Raise if ``concurrent_jobs + queued_jobs`` jobs of the member are open, or if the queue has no place for them."""
    concurrent, queued = limits["concurrent_jobs"].value, limits["queued_jobs"].value
    if concurrent == 0:
        raise OverLimit(limits["concurrent_jobs"], 0, 1)
    if concurrent is not None and queued is not None:
        waiting = job_rows.count_open(connection, requester.member_id, requester.scope_id) - concurrent
        if waiting >= queued:
            raise OverLimit(limits["queued_jobs"], waiting, 1)
    if terms.queue_length is not None:
        _check_queue(connection, requester, terms.queue_length, terms.queue_shares)


def _check_queue(connection: sqlite3.Connection, requester: Requester, length: int, shares: QueueShares) -> None:
    places = count_places(connection, requester)
    if places.taken >= length:
        raise OverCeiling("queue_length", length, places.taken, 1)
    holder = shares.exceeded_by(places, length, direct=not requester.scope_id)
    if holder is not None:
        raise OverShare(holder, places.of_member if holder == "member" else places.of_server, length)


def _check_credits(connection: sqlite3.Connection, requester: Requester, limit: Limit, wanted: int, now: int) -> int:
    """Return the part of the price that a grant has to pay. Raises :class:`OverLimit` if grants are not enough."""
    if limit.value is None:
        return 0
    member, scope = requester.member_id, requester.scope_id
    used = ledger.used(connection, member, scope, now)
    left = max(0, limit.value - used)
    beyond = max(0, wanted - left)
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
            coming = ledger.renewals_everywhere(connection, requester.member_id, now)
            raise OverCeiling("credits_per_user", terms.credits_per_user, used, wanted, _enough(coming, missing))
    if terms.credits_per_server is not None and requester.scope_id:
        used = ledger.used_in(connection, requester.scope_id, now)
        if (missing := used + wanted - terms.credits_per_server) > 0:
            coming = ledger.renewals_in(connection, requester.scope_id, now)
            raise OverCeiling("credits_per_server", terms.credits_per_server, used, wanted, _enough(coming, missing))


def _enough(coming: Iterable[Renewal], missing: int) -> Renewal | None:
    """Return when at least ``missing`` credits have come back, with their sum; None if all of them are not enough."""
    total = 0
    for renewal in coming:
        total += renewal.credits
        if total >= missing:
            return Renewal(renewal.at, total)
    return None


def _rest(ceiling: int | None, used: int | None) -> int | None:
    return None if ceiling is None or used is None else max(0, ceiling - used)
