"""Limits in words: parses what an admin types, formats values, and words refusals of jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from bot.errors import NotHere, Refusal
from bot.inert import in_quotes, inert
from bot.plurals import counted
from bot.requests.pricing import credits_text, format_credits
from bot.store.ledger import Renewal
from bot.store.limits import LIMITS, UNLIMITED, Limit, LimitName
from bot.store.not_admitted import (
    Blocked,
    ModelNotAllowed,
    NoPrivatePictures,
    NotAdmitted,
    NotServed,
    OverCeiling,
    OverLimit,
    OverShare,
    Paused,
    WrongPlace,
)
from zimage_engine.catalog import either

VALUE_MAX = 2**31
"""The largest value that may be typed, in the limit's unit."""
NO_MODEL = "You may use none of my models in this server: ask an admin."
_ALLOWED_SHOWN = 3
_REASON_SHOWN = 210
_CHEAPER = "ask for fewer pictures, smaller ones, or fewer steps"


def parse_value(name: LimitName, text: str) -> int | None:
    """Return the value that an admin typed, in the limit's unit (1/100 for credits); None for "unlimited".

    Pixels may be written ``1024x1024``, thousands ``1,048,576``. Raises :class:`Refusal` if it is no such value.
    """
    limit = LIMITS[name]
    words = text.strip().lower().replace(" ", "").replace("_", "")
    if words in (UNLIMITED, "∞"):
        return None
    sides = re.fullmatch(r"(\d{1,6})[x×*](\d{1,6})", words)
    if limit.unit == "pixels" and sides is not None:
        words = str(int(sides[1]) * int(sides[2]))
    if re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?", words):
        words = words.replace(",", "")
    in_credits = limit.unit == "credits"
    number = re.fullmatch(r"\d{1,12}([.,]\d{1,2}0*)?" if in_credits else r"\d{1,12}", words)
    value = Decimal(words.replace(",", ".")) * (100 if in_credits else 1) if number is not None else VALUE_MAX + 1
    if value > VALUE_MAX:
        raise Refusal(
            f"{in_quotes(text, 30)} is not a value for “{limit.title}”: give {limit.example}, or {UNLIMITED}."
        )
    return int(value)


def format_value(name: LimitName, value: int | None) -> str:
    """Return a value as shown to people: ``1500`` of ``credits_per_day`` as "15", None as "unlimited"."""
    if value is None:
        return UNLIMITED
    return format_credits(value) if LIMITS[name].unit == "credits" else f"{value:,}"


def origin_text(limit: Limit, *, own: bool = True) -> str:
    """Return where a limit's value comes from, such as "from role @Artists"; ``own`` if its member reads it."""
    text = {
        "user": "for you personally" if own else "for this member alone",
        "role": f"from role <@&{limit.role_id}>",
        "everyone": "for everyone in this server",
        "default": "the bot's default",
        "ceiling": "the most that this bot allows",
    }[limit.origin]
    return f"{text}, until <t:{limit.until}:f>" if limit.until is not None else text


def renewal_text(renewal: Renewal) -> str:
    """Return when credits come back, such as "1 credit comes back in 3 hours"."""
    verb = "comes" if renewal.credits == 100 else "come"
    return f"{credits_text(renewal.credits)} {verb} back <t:{renewal.at}:R>"


def together(renewals: Iterable[Renewal], now: int) -> list[Renewal]:
    """Return the renewals with those as one that Discord would show with the same words: within a minute or an hour.

    ``now`` is in UTC seconds. The time is that of the last one of each.
    """
    found: list[Renewal] = []
    began = 0
    for renewal in renewals:
        span = 60 if renewal.at - now < 60 * 60 else 60 * 60
        if found and renewal.at - began < span:
            found[-1] = Renewal(renewal.at, found[-1].credits + renewal.credits)
        else:
            found.append(renewal)
            began = renewal.at
    return found


def refusal(cause: NotAdmitted) -> Refusal:
    """Return the refusal that tells the member why the job is not admitted."""
    match cause:
        case Paused(by="server"):
            return NotHere("An admin of this server has paused me. The queue is kept; please ask again later.")
        case Paused():
            return NotHere("My operator has paused me. The queue is kept; please ask again later.")
        case NotServed(direct):
            where = "not in direct messages" if direct else "and only in those that I am a member of"
            return NotHere(f"I work in servers, {where}.")
        case Blocked():
            return _blocked(cause)
        case WrongPlace(age_restricted_only, allowed):
            return NotHere(_wrong_place(allowed, age_restricted_only=age_restricted_only))
        case NoPrivatePictures():
            return Refusal(
                "This server does not allow private pictures, nor pictures that are made from one. Ask for one that "
                "everybody here sees, or ask me in a direct message."
            )
        case ModelNotAllowed(model, allowed):
            if not allowed:
                return Refusal(NO_MODEL)
            flags = either([f"`--model {name}`" for name in allowed])
            return Refusal(f"You may not use `{model}` in this server; you may use {flags}.")
        case OverLimit():
            return Refusal(_over_limit(cause))
        case OverCeiling():
            return Refusal(_over_ceiling(cause))
        case OverShare():
            return Refusal(_over_share(cause))
    raise AssertionError(cause)


def _blocked(cause: Blocked) -> NotHere:
    """Return who blocked the member, until when and why; a channel is told only until when."""
    blocked = "You are blocked here" + (f" until <t:{cause.until}:f>" if cause.until is not None else "")
    by = f" by <@{cause.by}>" if cause.by is not None else ""
    why = f": {inert(cause.reason, _REASON_SHOWN)}" if cause.reason else ""
    return NotHere(f"{blocked}{by}{why}.", in_public=f"{blocked}.")


def _wrong_place(allowed: tuple[int, ...], *, age_restricted_only: bool) -> str:
    if age_restricted_only:
        return "In this server I may be used in age-restricted channels only."
    places = " or ".join(f"<#{channel_id}>" for channel_id in allowed[:_ALLOWED_SHOWN])
    return f"I may not be used in this channel. Ask me in {places}." if places else "I may not be used in this channel."


def _over_limit(over: OverLimit) -> str:
    name, value = over.limit.name, over.limit.value
    assert value is not None, "an unlimited limit cannot be exceeded"
    if name == "credits_per_day":
        return _no_credits(over, value)
    if name == "queued_jobs":
        if not value:
            return "Your last request is still being generated, and no other may wait: ask again when it is done."
        waiting = counted(over.used, "request")
        return (
            f"You already have {waiting} in the queue, the most that you may have. Ask again when one of them is done, "
            "or cancel one."
        )
    if not value:
        return f"You may not generate pictures here (“{LIMITS[name].title}” is 0): ask an admin."
    if name == "max_pixels":
        return f"That is {over.wanted:,} pixels, and your pictures may have {value:,}: ask for a smaller size."
    return f"You may ask for {counted(value, 'picture')} at once, not {over.wanted}: choose a smaller count."


def _no_credits(over: OverLimit, value: int) -> str:
    total, granted = format_credits(value), format_credits(over.granted)
    if not value and not over.granted:
        return "You have no credits here: ask an admin for some."
    price = credits_text(over.wanted)
    if over.wanted > value + over.granted:
        beside = f" and {granted} left that an admin granted" if over.granted else ""
        return f"This costs {price}, and you have {total} in 24 hours{beside}: {_CHEAPER}."
    beside = f", and have {granted} left that an admin granted" if over.granted else ""
    used = f"You have used {format_credits(over.used)} of {total} in the last 24 hours{beside}"
    return f"This costs {price}. {used}. {_back(over.renewal)}."


def _over_ceiling(over: OverCeiling) -> str:
    if over.name == "queue_length":
        return f"My queue is full ({over.used} of {over.ceiling} requests). Please ask again in a few minutes."
    of_member = over.name == "credits_per_user"
    who = "You have" if of_member else "This server has"
    where = ", across all servers and DMs" if of_member else ""
    price, used, total = credits_text(over.wanted), format_credits(over.used), format_credits(over.ceiling)
    if over.wanted > over.ceiling:
        whom = "one person" if of_member else "one server"
        return f"This costs {price}, and my operator allows {whom} {total} in 24 hours{where}: {_CHEAPER}."
    allowed = f"the {total} that my operator allows in 24 hours{where}"
    return f"This costs {price}. {who} used {used} of {allowed}. {_back(over.renewal)}."


def _over_share(over: OverShare) -> str:
    places = f"{over.used} of the {over.length} places in my queue"
    if over.holder == "member":
        return (
            f"You have {places}, across all servers and DMs, and one person may have no more of them now. Ask again "
            "when one of your requests is done, or cancel one."
        )
    return f"This server has {places}, and one server may have no more of them now. Please ask again in a few minutes."


def _back(renewal: Renewal | None) -> str:
    """Return when to try again. There is no such time while jobs that wait since yesterday hold the credits."""
    if renewal is None:
        return "The rest is reserved for what is still in the queue: ask again when that is done"
    return renewal_text(renewal)
