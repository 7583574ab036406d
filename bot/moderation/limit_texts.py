"""Limits in words: parses what an admin types, formats values, and words refusals of jobs."""

from __future__ import annotations

import re
from decimal import Decimal

from bot.errors import NotHere, Refusal
from bot.requests.pricing import credits_text, format_credits
from bot.store.admission import (
    Blocked,
    NoPrivatePictures,
    NotAdmitted,
    NotServed,
    OverCeiling,
    OverLimit,
    Paused,
    WrongPlace,
)
from bot.store.ledger import Renewal
from bot.store.limits import LIMITS, UNLIMITED, Limit, LimitName

VALUE_MAX = 2**31
"""The largest value that may be typed, in the limit's unit."""
_ALLOWED_SHOWN = 3
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
        raise Refusal(f"“{text[:30]}” is no value for {name}: give {limit.example}, or {UNLIMITED}.")
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
        "ceiling": "the most that this bot does",
    }[limit.origin]
    return f"{text}, until <t:{limit.until}:f>" if limit.until is not None else text


def renewal_text(renewal: Renewal) -> str:
    """Return when credits come back, such as "1 comes back in 3 hours"."""
    verb = "comes" if renewal.credits <= 100 else "come"
    return f"{format_credits(renewal.credits)} {verb} back <t:{renewal.at}:R>"


def refusal(cause: NotAdmitted) -> Refusal:
    """Return the refusal that tells the member why the job is not admitted."""
    match cause:
        case Paused(by="server"):
            return NotHere("An admin of this server has paused me. What waits stays in line; ask again later.")
        case Paused():
            return NotHere("My operator has paused me. What waits stays in line; ask again later.")
        case NotServed(direct):
            where = "not in direct messages" if direct else "and only in those that I am a member of"
            return NotHere(f"I draw in servers, {where}.")
        case Blocked(until, reason):
            end = f" until <t:{until}:f>" if until is not None else ""
            why = f" The reason: {reason}" if reason else ""
            blocked = f"You are blocked from drawing with me here{end}."
            return NotHere(f"{blocked}{why}", in_public=blocked)
        case WrongPlace(age_restricted_only, allowed):
            return NotHere(_wrong_place(allowed, age_restricted_only=age_restricted_only))
        case NoPrivatePictures():
            return Refusal(
                "This server does not allow private pictures. Ask with private:False for one that everybody here sees, "
                "or ask me in a direct message."
            )
        case OverLimit():
            return Refusal(_over_limit(cause))
        case OverCeiling():
            return Refusal(_over_ceiling(cause))
    raise AssertionError(cause)


def _wrong_place(allowed: tuple[int, ...], *, age_restricted_only: bool) -> str:
    if age_restricted_only:
        return "In this server I may draw in age-restricted channels only."
    places = ", ".join(f"<#{channel_id}>" for channel_id in allowed[:_ALLOWED_SHOWN])
    return f"I may not draw in this channel; go to {places}." if places else "I may not draw in this channel."


def _over_limit(over: OverLimit) -> str:
    name, value = over.limit.name, over.limit.value
    assert value is not None, "an unlimited limit cannot be exceeded"
    if name == "credits_per_day":
        return _no_credits(over, value)
    if name == "queued_jobs":
        if not value:
            return (
                "What you asked for before is still being drawn, and nothing of yours may wait in line (limit "
                "`queued_jobs` is 0); ask again when it is done."
            )
        return (
            f"You have used {over.used} of {value} places in line (limit `queued_jobs`); the next one is free when "
            "one of your pictures is done."
        )
    if not value:
        return f"You may not have anything drawn here (limit `{name}` is 0): ask an admin."
    if name == "max_pixels":
        return (
            f"That is {over.wanted:,} pixels, and a picture of yours may have {value:,} (limit `max_pixels`): "
            "ask for a smaller one."
        )
    pictures = "1 picture" if value == 1 else f"{value} pictures"
    return f"You may ask for {pictures} at once, not {over.wanted} (limit `max_count`): take a smaller count."


def _no_credits(over: OverLimit, value: int) -> str:
    total, granted = format_credits(value), format_credits(over.granted)
    if not value and not over.granted:
        return "You have no credits here (limit `credits_per_day` is 0): ask an admin for some."
    limit = "(limit `credits_per_day`)"
    if over.wanted > value + over.granted:
        beside = f" and {granted} left that an admin granted" if over.granted else ""
        return f"This costs {credits_text(over.wanted)}, and you have {total} a day {limit}{beside}: {_CHEAPER}."
    beside = f" and have {granted} left that an admin granted" if over.granted else ""
    return (
        f"You have used {format_credits(over.used)} of {total} credits {limit}{beside}, and this costs "
        f"{format_credits(over.wanted)}; {_back(over.renewal)}."
    )


def _over_ceiling(over: OverCeiling) -> str:
    if over.name == "queue_length":
        return f"My queue is full ({over.used} of {over.ceiling} jobs); please ask again in a few minutes."
    who, where = ("You have", " in all places together") if over.name == "credits_per_user" else ("This server has", "")
    used, total = format_credits(over.used), format_credits(over.ceiling)
    if over.wanted > over.ceiling:
        whom = "one person" if over.name == "credits_per_user" else "one server"
        price = credits_text(over.wanted)
        return f"This costs {price}, and my operator allows {whom} {total} in 24 hours{where}: {_CHEAPER}."
    return (
        f"{who} used {used} of {total} credits{where}, the most that my operator allows in 24 hours, and this costs "
        f"{format_credits(over.wanted)}; {_back(over.renewal)}."
    )


def _back(renewal: Renewal | None) -> str:
    """Return when to try again. There is no such time while jobs that wait since yesterday hold the credits."""
    if renewal is None:
        return "some are held for what still waits in line: ask again when that is done"
    return renewal_text(renewal)
