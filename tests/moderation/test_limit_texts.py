"""Limits in words: values that admins type, and what members are told."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import Refusal
from bot.moderation.limit_texts import (
    format_value,
    origin_text,
    parse_value,
    refusal,
    renewal_text,
    together,
)
from bot.store.ledger import Renewal
from bot.store.limits import CEILINGS, LIMIT_NAMES, LIMITS, Ceiling, Limit, LimitName, Origin
from bot.store.not_admitted import (
    Blocked,
    NotAdmitted,
    NotServed,
    OverCeiling,
    OverLimit,
    OverShare,
    Paused,
    WrongPlace,
)

MAX = 2**31
names = st.sampled_from(LIMIT_NAMES)
LATER = Renewal(1_700_000_000, 200)


@given(names, st.one_of(st.none(), st.integers(0, MAX)))
def test_what_is_shown_can_be_typed_again(name: LimitName, value: int | None) -> None:
    assert parse_value(name, format_value(name, value)) == value


@given(names, st.text(max_size=40) | st.from_regex(r"[-+0-9.,eE_x×∞ ]{1,12}", fullmatch=True))
def test_any_text_is_a_value_or_refused_in_a_sentence(name: LimitName, text: str) -> None:
    try:
        value = parse_value(name, text)
    except Refusal as error:
        assert f"is not a value for “{LIMITS[name].title}”: give " in str(error)
        assert str(error).endswith(", or unlimited.")
    else:
        assert value is None or 0 <= value <= MAX


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("credits_per_day", "15", 1500),
        ("credits_per_day", " 7.5 ", 750),
        ("credits_per_day", "7,25", 725),
        ("credits_per_day", "0.05", 5),
        ("credits_per_day", "0,500", 50),
        ("credits_per_day", "1,500", 150_000),
        ("credits_per_day", "1,500.5", 150_050),
        ("credits_per_day", "10 000", 1_000_000),
        ("credits_per_day", "0", 0),
        ("credits_per_day", "Unlimited", None),
        ("max_pixels", "∞", None),
        ("max_pixels", "1024x1024", 1_048_576),
        ("max_pixels", "1024 × 768", 786_432),
        ("max_pixels", "1,048,576", 1_048_576),
        ("max_pixels", "1_048_576", 1_048_576),
        ("max_count", "4", 4),
        ("concurrent_jobs", "0", 0),
    ],
)
def test_values_as_admins_type_them(name: LimitName, text: str, value: int | None) -> None:
    assert parse_value(name, text) == value


CREDITS_LIKE = "give credits like 15 or 7.5, or unlimited."
PIXELS_LIKE = "give pixels like 1048576 or 1024x1024, or unlimited."
WHOLE = "give a whole number from 0, or unlimited."


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("credits_per_day", "0.005", CREDITS_LIKE),
        ("credits_per_day", "-1", CREDITS_LIKE),
        ("credits_per_day", "none", CREDITS_LIKE),  # no credits, or no limit?
        ("credits_per_day", "snan", CREDITS_LIKE),
        ("credits_per_day", "1e999999", CREDITS_LIKE),
        ("credits_per_day", "21474836.49", CREDITS_LIKE),
        ("credits_per_day", "", CREDITS_LIKE),
        ("max_pixels", "999999x999999", PIXELS_LIKE),
        ("max_pixels", "1024x", PIXELS_LIKE),
        ("max_pixels", "1,5", PIXELS_LIKE),
        ("max_count", "1.5", WHOLE),
        ("max_count", "1024x1024", WHOLE),
        ("queued_jobs", "many", WHOLE),
    ],
)
def test_what_is_no_value_is_refused_with_an_example(name: LimitName, text: str, hint: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_value(name, text)
    assert str(caught.value) == f"“{text}” is not a value for “{LIMITS[name].title}”: {hint}"


def limit(name: LimitName, value: int | None, origin: Origin = "default", until: int | None = None) -> Limit:
    return Limit(name, value, origin, 77 if origin == "role" else None, until)


DAY = limit("credits_per_day", 1000)
REFUSALS: list[tuple[NotAdmitted, str]] = [
    (Paused("server"), "An admin of this server has paused me. The queue is kept; please ask again later."),
    (Paused("operator"), "My operator has paused me. The queue is kept; please ask again later."),
    (NotServed(direct=True), "I work in servers, not in direct messages."),
    (NotServed(direct=False), "I work in servers, and only in those that I am a member of."),
    (Blocked(None, None), "You are blocked here."),
    (Blocked(None, None, 7), "You are blocked here by <@7>."),
    (Blocked(5, None), "You are blocked here until <t:5:f>."),
    (Blocked(5, "spam"), "You are blocked here until <t:5:f>: ``spam``."),
    (Blocked(5, "spam <@&6> **x**", 7), "You are blocked here until <t:5:f> by <@7>: ``spam <@&6> **x**``."),
    (WrongPlace(age_restricted_only=True), "In this server I may be used in age-restricted channels only."),
    (WrongPlace(age_restricted_only=False), "I may not be used in this channel."),
    (
        WrongPlace(age_restricted_only=False, allowed=(1, 2, 3, 4)),
        "I may not be used in this channel. Ask me in <#1> or <#2> or <#3>.",
    ),
    (
        OverLimit(DAY, 900, 200, 0, LATER),
        "This costs 2 credits. You have used 9 of 10 in the last 24 hours. 2 credits come back <t:1700000000:R>.",
    ),
    (
        OverLimit(DAY, 900, 200, 50, Renewal(7, 100)),
        (
            "This costs 2 credits. You have used 9 of 10 in the last 24 hours, and have 0.5 left that an admin "
            "granted. 1 credit comes back <t:7:R>."
        ),
    ),
    (
        OverLimit(DAY, 900, 200),
        (
            "This costs 2 credits. You have used 9 of 10 in the last 24 hours. The rest is reserved for what is still "
            "in the queue: ask again when that is done."
        ),
    ),
    (
        OverLimit(DAY, 0, 1100),
        ("This costs 11 credits, and you have 10 in 24 hours: ask for fewer pictures, smaller ones, or fewer steps."),
    ),
    (
        OverLimit(limit("credits_per_day", 0), 0, 100, 50),
        (
            "This costs 1 credit, and you have 0 in 24 hours and 0.5 left that an admin granted: ask for fewer "
            "pictures, smaller ones, or fewer steps."
        ),
    ),
    (OverLimit(limit("credits_per_day", 0), 0, 100), "You have no credits here: ask an admin for some."),
    (
        OverLimit(limit("max_pixels", 65536), 0, 102400),
        "That is 102,400 pixels, and your pictures may have 65,536: ask for a smaller size.",
    ),
    (OverLimit(limit("max_count", 1), 0, 4), "You may ask for 1 picture at once, not 4: choose a smaller count."),
    (OverLimit(limit("max_count", 2), 0, 4), "You may ask for 2 pictures at once, not 4: choose a smaller count."),
    (
        OverLimit(limit("queued_jobs", 3), 3, 1),
        (
            "You already have 3 requests in the queue, the most that you may have. Ask again when one of them is done, "
            "or cancel one."
        ),
    ),
    (
        OverLimit(limit("queued_jobs", 0), 0, 1),
        "Your last request is still being generated, and no other may wait: ask again when it is done.",
    ),
    (OverCeiling("queue_length", 9, 12, 1), "My queue is full (12 of 9 requests). Please ask again in a few minutes."),
    (
        OverShare("member", 50, 200),
        (
            "You have 50 of the 200 places in my queue, across all servers and DMs, and one person may have no more of "
            "them now. Ask again when one of your requests is done, or cancel one."
        ),
    ),
    (
        OverShare("server", 100, 200),
        (
            "This server has 100 of the 200 places in my queue, and one server may have no more of them now. Please "
            "ask again in a few minutes."
        ),
    ),
    (
        OverCeiling("credits_per_user", 1000, 900, 200, LATER),
        (
            "This costs 2 credits. You have used 9 of the 10 that my operator allows in 24 hours, across all servers "
            "and DMs. 2 credits come back <t:1700000000:R>."
        ),
    ),
    (
        OverCeiling("credits_per_server", 1000, 900, 200, LATER),
        (
            "This costs 2 credits. This server has used 9 of the 10 that my operator allows in 24 hours. 2 credits "
            "come back <t:1700000000:R>."
        ),
    ),
    (
        OverCeiling("credits_per_server", 1000, 900, 200),
        (
            "This costs 2 credits. This server has used 9 of the 10 that my operator allows in 24 hours. The rest is "
            "reserved for what is still in the queue: ask again when that is done."
        ),
    ),
    (
        OverCeiling("credits_per_user", 150, 0, 200),
        (
            "This costs 2 credits, and my operator allows one person 1.5 in 24 hours, across all servers and DMs: "
            "ask for fewer pictures, smaller ones, or fewer steps."
        ),
    ),
    (
        OverCeiling("credits_per_server", 0, 0, 100),
        (
            "This costs 1 credit, and my operator allows one server 0 in 24 hours: ask for fewer pictures, smaller "
            "ones, or fewer steps."
        ),
    ),
]


@pytest.mark.parametrize(("cause", "sentence"), REFUSALS, ids=lambda value: type(value).__name__)
def test_a_refusal_says_what_forbids_it_and_what_to_do(cause: NotAdmitted, sentence: str) -> None:
    assert str(refusal(cause)) == sentence


@pytest.mark.parametrize("name", ["concurrent_jobs", "max_pixels", "max_count"])
def test_a_limit_of_0_sends_to_an_admin(name: LimitName) -> None:
    sentence = f"You may not generate pictures here (“{LIMITS[name].title}” is 0): ask an admin."
    assert str(refusal(OverLimit(limit(name, 0), 0, 1))) == sentence


def test_every_limit_and_ceiling_has_its_sentence() -> None:
    said = {cause.limit.name for cause, _ in REFUSALS if isinstance(cause, OverLimit)} | {"concurrent_jobs"}
    assert said == set(LIMIT_NAMES) == set(get_args(LimitName))
    said_of_ceilings = {cause.name for cause, _ in REFUSALS if isinstance(cause, OverCeiling)}
    assert said_of_ceilings == set(CEILINGS) == set(get_args(Ceiling))


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        ("user", "for you personally"),
        ("role", "from role <@&77>"),
        ("everyone", "for everyone in this server"),
        ("default", "the bot's default"),
        ("ceiling", "the most that this bot allows"),
    ],
)
def test_a_limit_says_why_it_is_that_high(origin: Origin, text: str) -> None:
    assert origin_text(limit("max_count", 4, origin)) == text
    assert origin_text(limit("max_count", 4, origin, until=5)) == f"{text}, until <t:5:f>"


@pytest.mark.parametrize(
    ("amount", "text"),
    [(5, "0.05 credits come"), (100, "1 credit comes"), (101, "1.01 credits come"), (1250, "12.5 credits come")],
)
def test_what_comes_back_reads_well(amount: int, text: str) -> None:
    assert renewal_text(Renewal(9, amount)) == f"{text} back <t:9:R>"


def test_credits_that_come_back_at_nearly_the_same_time_are_told_once() -> None:
    hours = 3600
    coming = [(50, 1), (100, 1), (200, 1), (3 * hours, 1), (3 * hours + 900, 1), (24 * hours, 1), (24 * hours + 1, 1)]
    told = together([Renewal(at, credit) for at, credit in coming], now=0)
    assert told == [
        Renewal(100, 2), Renewal(200, 1), Renewal(3 * hours + 900, 2), Renewal(24 * hours + 1, 2),
    ]  # fmt: skip
    assert sum(each.credits for each in told) == len(coming)
