"""The value of a limit that holds for a member, and its origin."""

from __future__ import annotations

import sqlite3
import statistics
import time
from dataclasses import replace
from itertools import permutations

import pytest

from bot.store import limits
from bot.store.admission import Terms
from bot.store.limits import LIMIT_NAMES, Limit, LimitName, LimitRow, Requester, Target, resolve
from tests.helpers.no_limits import NO_LIMITS

MEMBER, SERVER, OTHER = 5, 60, 70
NOW = 1_000_000
HERE = Requester(MEMBER, SERVER, SERVER, role_ids=(21, 22, 23))
DEFAULTS: dict[LimitName, int | None] = {
    **NO_LIMITS,
    "credits_per_day": 1500,
    "concurrent_jobs": 2,
    "queued_jobs": 4,
    "max_pixels": 65536,
    "max_count": 4,
}
DIRECT: dict[LimitName, int | None] = {**DEFAULTS, "credits_per_day": 500, "max_pixels": None}


def put(
    file: sqlite3.Connection,
    target: Target,
    target_id: int,
    value: int | None,
    *,
    name: LimitName = "credits_per_day",
    until: int | None = None,
    server: int = SERVER,
) -> None:
    limits.write_limit(file, server, LimitRow(target, target_id, name, value, until))


def credits_per_day(file: sqlite3.Connection, requester: Requester = HERE, now: int = NOW) -> Limit:
    return resolve(file, requester, DEFAULTS, now)["credits_per_day"]


def test_where_nothing_is_set_the_defaults_hold(file: sqlite3.Connection) -> None:
    assert resolve(file, HERE, DEFAULTS, NOW) == {name: Limit(name, DEFAULTS[name], "default") for name in LIMIT_NAMES}


def test_the_member_goes_before_roles_and_those_before_everyone(file: sqlite3.Connection) -> None:
    put(file, "everyone", 0, 9000)
    assert credits_per_day(file) == Limit("credits_per_day", 9000, "everyone")
    put(file, "role", 21, 800)
    assert credits_per_day(file) == Limit("credits_per_day", 800, "role", 21), "less, and it holds all the same"
    put(file, "user", MEMBER, 0)
    assert credits_per_day(file) == Limit("credits_per_day", 0, "user")
    assert limits.clear_limit(file, SERVER, "user", MEMBER, "credits_per_day") == LimitRow(
        "user", MEMBER, "credits_per_day", 0
    )
    assert credits_per_day(file).origin == "role"


@pytest.mark.parametrize("values", list(permutations((100, 2000, 1999))))
def test_of_several_roles_the_most_generous_holds(file: sqlite3.Connection, values: tuple[int, ...]) -> None:
    for role, value in zip(HERE.role_ids, values, strict=True):
        put(file, "role", role, value)
    put(file, "role", 99, 10**6)  # not the member's
    assert credits_per_day(file) == Limit("credits_per_day", 2000, "role", HERE.role_ids[values.index(2000)])


@pytest.mark.parametrize("unlimited", HERE.role_ids)
def test_unlimited_is_the_most_generous(file: sqlite3.Connection, unlimited: int) -> None:
    for role in HERE.role_ids:
        put(file, "role", role, None if role == unlimited else 10**9)
    assert credits_per_day(file) == Limit("credits_per_day", None, "role", unlimited)
    put(file, "user", MEMBER, 100)
    assert credits_per_day(file).value == 100


def test_what_has_run_out_falls_back_at_that_second(file: sqlite3.Connection) -> None:
    put(file, "everyone", 0, 900)
    put(file, "role", 21, 2000, until=NOW + 20)
    put(file, "role", 22, 800)
    put(file, "user", MEMBER, None, until=NOW + 10)
    told = [credits_per_day(file, now=NOW + after) for after in (9, 10, 19, 20)]
    assert [(limit.value, limit.origin, limit.until) for limit in told] == [
        (None, "user", NOW + 10),
        (2000, "role", NOW + 20),
        (2000, "role", NOW + 20),
        (800, "role", None),
    ]
    limits.drop_expired(file, NOW + 15)
    assert {row.target_id for row in limits.limits_of(file, SERVER, NOW)} == {0, 21, 22}


def test_names_are_resolved_apart(file: sqlite3.Connection) -> None:
    put(file, "user", MEMBER, 7, name="max_count")
    put(file, "role", 22, None, name="queued_jobs")
    found = resolve(file, HERE, DEFAULTS, NOW)
    others = dict.fromkeys(LIMIT_NAMES, "default")
    assert {name: limit.origin for name, limit in found.items()} == others | {
        "queued_jobs": "role",
        "max_count": "user",
    }


def test_another_server_s_limits_hold_nobody_here(file: sqlite3.Connection) -> None:
    for target, target_id in (("everyone", 0), ("role", 21), ("user", MEMBER)):
        put(file, target, target_id, 1, server=OTHER)  # type: ignore[arg-type]
    assert credits_per_day(file).origin == "default"
    assert credits_per_day(file, replace(HERE, scope_id=OTHER, guild_id=OTHER)).origin == "user"


def test_ids_that_are_equal_are_not_mistaken_for_one_another(file: sqlite3.Connection) -> None:
    put(file, "role", MEMBER, 1)
    put(file, "user", 21, 2)
    assert credits_per_day(file).origin == "default"


def test_direct_messages_have_their_own_defaults_and_nobody_s_limits(file: sqlite3.Connection) -> None:
    put(file, "everyone", 0, 1, server=0)
    put(file, "user", MEMBER, 2, server=0)
    put(file, "user", MEMBER, 3)
    terms = Terms(DEFAULTS, DIRECT, caps={"max_pixels": 10**6})
    user_installed = Requester(MEMBER, 0, SERVER, HERE.role_ids)
    for requester in (Requester(MEMBER, 0, None), user_installed):
        found = terms.limits(file, requester, NOW)
        assert found["credits_per_day"] == Limit("credits_per_day", 500, "default")
        assert found["max_pixels"] == Limit("max_pixels", 10**6, "ceiling")
    assert terms.limits(file, HERE, NOW)["credits_per_day"].value == 3


@pytest.mark.parametrize(
    ("value", "held_to", "origin"),
    [(None, 8, "ceiling"), (9, 8, "ceiling"), (8, 8, "user"), (7, 7, "user"), (0, 0, "user")],
)
def test_no_admin_lifts_a_limit_above_the_operator_s_cap(
    file: sqlite3.Connection, value: int | None, held_to: int, origin: str
) -> None:
    put(file, "user", MEMBER, value, name="max_count")
    found = Terms(DEFAULTS, DIRECT, caps={"max_count": 8}).limits(file, HERE, NOW)["max_count"]
    assert (found.value, found.origin) == (held_to, origin)


def test_a_member_with_20_roles_is_resolved_in_no_time(file: sqlite3.Connection) -> None:
    roles = tuple(range(1000, 1020))
    for target, target_id in (("everyone", 0), ("user", MEMBER), *(("role", role) for role in roles)):
        for number, name in enumerate(LIMIT_NAMES):
            put(file, target, target_id, target_id + number, name=name)  # type: ignore[arg-type]
    for stranger in range(200):
        put(file, "user", 5000 + stranger, 1)
    requester, taken = replace(HERE, role_ids=roles), []
    for _ in range(200):
        began = time.thread_time()
        resolve(file, requester, DEFAULTS, NOW)
        taken.append(time.thread_time() - began)
    assert statistics.median(taken) <= 0.005
