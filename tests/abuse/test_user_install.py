"""Attacks on a server's rules by members who installed the bot for themselves: there its admins cannot remove it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from bot.moderation.serving import Served, check
from bot.settings import Settings
from bot.store.admission import Terms, check_place
from bot.store.database import _connect
from bot.store.guild_settings import PAUSED, PRIVATE_PICTURES, write_setting
from bot.store.limits import LIMIT_NAMES, LimitName, LimitRow, Requester, Target, write_limit
from bot.store.moderation import Block, Word, add_word, write_block, write_channel_rule
from bot.store.not_admitted import Blocked, NotAdmitted, Paused, WrongPlace
from tests.helpers.databases import add_database
from tests.helpers.loopback import CHANNEL, GUILD, MEMBER
from tests.helpers.no_limits import NO_LIMITS
from tests.helpers.online import Online, online
from tests.helpers.waiting import until

NOT_THERE = "9009"
"""A server that the bot was in, and whose settings it still has."""
PROMPT = "a red circle"


Rule = Callable[[int, sqlite3.Connection], object]
"""Writes a rule of the server with an id."""


def limit(name: LimitName, value: int, target: Target = "everyone") -> Rule:
    row = LimitRow(target, int(MEMBER) if target == "user" else 0, name, value)
    return lambda g, c: write_limit(c, g, row)


RULES: dict[str, tuple[Rule, str]] = {
    "blocked": (lambda g, c: write_block(c, g, Block(int(MEMBER), None, None, 1)), "You are blocked here."),
    "paused": (lambda g, c: write_setting(c, g, PAUSED, "on"), "An admin of this server has paused me."),
    "denied channel": (lambda g, c: write_channel_rule(c, g, int(CHANNEL), "deny"), "I may not be used in this"),
    "word": (lambda g, c: add_word(c, g, Word("circle", "word", "No circles.")), "No circles."),
    "max_pixels": (limit("max_pixels", 128 * 128), "That is 65,536 pixels, and your pictures may have 16,384"),
    "max_pixels 0": (limit("max_pixels", 0), "(“Largest picture” is 0)"),
    "max_count": (limit("max_count", 1), "You may ask for 1 picture at once, not 2"),
    "max_count 0": (limit("max_count", 0), "(“Pictures per request” is 0)"),
    "concurrent_jobs 0": (limit("concurrent_jobs", 0, "user"), "(“Requests at once” is 0)"),
    "credits_per_day 0": (limit("credits_per_day", 0, "user"), "You have no credits here"),
    "private pictures": (lambda g, c: write_setting(c, g, PRIVATE_PICTURES, "off"), "does not allow private pictures"),
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_connect(add_database(tmp_path / "bot.sqlite3"))) as connection:
        yield connection


@pytest.fixture
async def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Online]:
    settings = settings.model_copy(update={"user_install": True})
    async with online(settings, monkeypatch) as opened:
        yield opened


async def answer(running: Online, guild: str, **options: object) -> str:
    """Ask for two pictures as the member's own app. Returns the answer to the command."""
    seen = len(running.discord.made("POST", "interactions/.*/callback"))
    await running.discord.command("imagine", prompt=PROMPT, steps=2, count=2, installed_in=guild, **options)
    await until(lambda: len(running.discord.made("POST", "interactions/.*/callback")) > seen)
    told = running.discord.made("POST", "interactions/.*/callback")[-1].body
    return str(told["data"]["content"])


def forget(connection: sqlite3.Connection) -> None:
    """Delete every rule of every server."""
    for table in ("blocks", "guild_settings", "channel_rules", "words", "limits"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608


async def test_every_rule_of_a_known_server_holds_for_a_members_own_app(running: Online) -> None:
    """Each is refused in the sentence that a command of the server's own installation gets, and costs nothing."""
    database = running.client.database
    for guild, (rule, (write, sentence)) in product((GUILD, NOT_THERE), RULES.items()):
        await database.write(forget)
        await database.write(partial(write, int(guild)))
        running.client.jobs.admission.forget_words(int(guild))
        options = {"private": True} if rule == "private pictures" else {}
        assert sentence in await answer(running, guild, **options), (guild, rule)
    assert await database.query("SELECT id FROM jobs") == await database.query("SELECT id FROM ledger") == []
    await database.write(forget)
    running.client.jobs.admission.forget_words(int(NOT_THERE))
    await running.discord.command("imagine", prompt=PROMPT, steps=2, installed_in=NOT_THERE)
    await until(lambda: not running.client.jobs.active and bool(running.discord.made("PATCH", "webhooks/.*")))
    (row,) = await database.query("SELECT scope_id, guild_id, state FROM jobs")
    assert tuple(row) == (0, int(NOT_THERE), "delivered")


SERVER, OWN_APP = 60, Requester(int(MEMBER), 0, 60, role_ids=(21,))
DIRECT: dict[LimitName, int | None] = {**NO_LIMITS, "credits_per_day": 500, "max_pixels": 65536, "max_count": 4}


HOLDS: list[tuple[LimitName, int | None, int | None]] = [
    ("max_pixels", 1000, 1000),
    ("max_pixels", 10**6, 65536),
    ("max_pixels", None, 65536),
    ("max_count", 1, 1),
    ("max_count", 9, 4),
    ("credits_per_day", 100, 500),
    ("credits_per_day", 10**6, 500),
    ("concurrent_jobs", 1, None),
    *((name, 0, 0) for name in LIMIT_NAMES),
]
"""What a server sets, and the value that holds for a member's own app there."""


def test_a_server_gives_a_members_own_app_nothing_and_takes_what_it_forbids(file: sqlite3.Connection) -> None:
    """Credits and places are the member's own; what is posted in the server is the server's to bound."""
    terms = Terms(NO_LIMITS, DIRECT, user_install=True)
    targets: list[tuple[Target, int]] = [("everyone", 0), ("role", 21), ("user", int(MEMBER))]
    for (target, target_id), (name, value, holds) in product(targets, HOLDS):
        forget(file)
        write_limit(file, SERVER, LimitRow(target, target_id, name, value))
        assert terms.limits(file, OWN_APP, 1)[name].value == holds, (target, name, value)
        assert terms.limits(file, Requester(int(MEMBER), 0, None), 1)[name].value == DIRECT[name], "not elsewhere"


def test_commands_that_post_no_picture_are_refused_to_a_members_own_app_too(file: sqlite3.Connection) -> None:
    """Also while the operator offers no user-installed use: the command may have been installed before."""
    requester = Requester(int(MEMBER), 0, SERVER, channels=(int(CHANNEL),))
    for rule, user_install in product(("blocked", "paused", "denied channel"), (True, False)):
        forget(file)
        RULES[rule][0](SERVER, file)
        with pytest.raises((Blocked, Paused, WrongPlace)):
            check(file, Served.WHERE_ALLOWED, requester, 1)
        check(file, Served.ALWAYS, requester, 1)
        with pytest.raises(NotAdmitted):
            check_place(file, requester, Terms(NO_LIMITS, DIRECT, user_install=user_install), 1)
