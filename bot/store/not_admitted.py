"""Everything that can forbid a job, for :mod:`bot.store.admission` to raise. Credits are in 1/100."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.store.ledger import Renewal
from bot.store.limits import Ceiling, Limit
from bot.store.queue_places import Holder


class NotAdmitted(Exception):
    """Base class of everything that can forbid a job."""


@dataclass
class Paused(NotAdmitted):
    """The server's admins, or the operator, paused the bot."""

    by: Literal["server", "operator"]


@dataclass
class NotServed(NotAdmitted):
    """The operator does not offer the bot here: in direct messages (``direct``), or in servers it is not in."""

    direct: bool


@dataclass
class Blocked(NotAdmitted):
    """The member is blocked until a time in UTC seconds, or for good (None). ``by`` is the admin's id if known."""

    until: int | None
    reason: str | None
    by: int | None = None


@dataclass
class WrongPlace(NotAdmitted):
    """The admins do not allow the bot in this channel. ``allowed`` are the channels with an ``allow`` rule."""

    age_restricted_only: bool
    allowed: tuple[int, ...] = ()


@dataclass
class NoPrivatePictures(NotAdmitted):
    """The admins allow public pictures only."""


@dataclass
class ModelNotAllowed(NotAdmitted):
    """The admins do not allow the member this model. ``allowed`` are the names of those that they may use."""

    model: str
    allowed: tuple[str, ...]


@dataclass
class OverLimit(NotAdmitted):
    """A member's limit would be exceeded: ``used`` of it is in use and ``wanted`` was asked for, in the limit's unit.

    For credits, ``granted`` is what is left of grants and ``renewal`` is when enough credits have come back. It is
    None if they never will be enough, or if they are held by jobs that have waited for more than a day.
    """

    limit: Limit
    used: int
    wanted: int
    granted: int = 0
    renewal: Renewal | None = None


@dataclass
class OverCeiling(NotAdmitted):
    """An operator's ceiling would be exceeded; fields as in :class:`OverLimit`."""

    name: Ceiling
    ceiling: int
    used: int
    wanted: int
    renewal: Renewal | None = None


@dataclass
class OverShare(NotAdmitted):
    """The member, or the server, already has as many of the queue's ``length`` places as one of them may: ``used``."""

    holder: Holder
    used: int
    length: int
