"""Attacks with texts, and what logs must not hold: impossible ids, half characters, text that turns round, tokens."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import discord
import pytest
import structlog
from aiohttp import RequestInfo
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import SecretStr
from yarl import URL

from bot.errors import Refusal
from bot.inert import cut, head, inert, utf16_length
from bot.jobs.delivery import Undeliverable
from bot.logs import configure_logging
from bot.playground.world import World
from bot.requests.drafts import Draft
from bot.requests.spec import ImageSpec
from bot.settings import Settings
from bot.views.audit import hidden
from bot.views.discord_requests import reason_of
from bot.views.errors import cause_of, explain, request_text
from bot.views.ids import SNOWFLAKE, ids_in
from bot.views.links import parse_message_link
from bot.views.modals import read_form
from bot.views.progress import cancelled_text, closing_text
from bot.views.request_form import read_request_form
from bot.views.text import ALT_TEXT_LIMIT, MESSAGE_LIMIT, picture_alt_text, result_text
from tests.helpers.admins import admin_of
from tests.helpers.dynamic_items import dynamic_items
from tests.helpers.log_lines import kept_lines
from tests.helpers.pictures import drawn
from zimage_engine.types import EngineError, InvalidRequest

BOT = Path(__file__).parents[2] / "bot"
HALF = "\ud83d"
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
IDS = ("9" * 20, "1" * 30, "1" * 5000, "-1", "1e9", "٣" * 18)
EMOJI = st.text("😀🎨a`|\u202e ", max_size=3000)


@contextmanager
def altered(world: World, old: str, new: str) -> Iterator[None]:
    """Replace a text in all that the bot receives, below what Discord's client or the simulation would check."""
    parsers = world.env.bot._connection.parsers
    before = dict(parsers)
    try:
        for event in ("INTERACTION_CREATE", "MESSAGE_CREATE"):
            parse = parsers[event]

            def forged(data: Any, parse: Any = parse) -> None:
                parse(json.loads(json.dumps(data).replace(old, json.dumps(new)[1:-1])))

            parsers[event] = forged
        yield
    finally:
        parsers.update(before)


def faults(world: World, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error, or raised although it is no refusal."""
    logged = [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    raised = [str(error) for error in world.env.errors if not isinstance(cause_of(error), (Refusal, EngineError))]
    return logged + raised


async def test_half_a_character_in_prompts_options_links_ids_and_names_is_no_traceback(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    result = await drawn(world)
    with altered(world, "HALF", HALF):
        await world.member.slash(world.channel, "imagine", prompt="a red HALF circle", steps=2)
        assert "a red \ufffd circle" in world.channel.history()[-1].content
        await world.member.slash(world.channel, "imagine", prompt="a circle --seed HALF", size="HALF")
        for source in ("HALF", "https://discord.com/channels/1/1/HALF", f"{result.jump_url}HALF"):
            answered = await world.member.slash(world.channel, "edit", prompt="night HALF", source=source)
            assert "Give the link of a message" in answered.response.content
        shown = await world.member.click(result, label="Edit")
        await world.member.submit_modal(shown, {"prompt": "night HALF", "strength": "0.HALF"})
        me = world.env.bot.user.mention
        await world.member.send(world.channel, f"{me} edit: night HALF", reply_to=result)
        await world.member.send(world.channel, f"{me} HALF")
    with altered(world, "zib:again", f"zib:again{HALF}"):
        await world.member.click(result, label="Again")
    with altered(world, "zib:modal", f"zib:modal{HALF}"):
        shown = await world.member.click(result, label="Edit")
    assert faults(world, caplog) == []


async def test_ids_of_30_and_5000_digits_end_in_a_sentence(world: World, caplog: pytest.LogCaptureFixture) -> None:
    result = await drawn(world)
    ada, guild = admin_of(world), world.channel.guild.id
    for digits in ("9" * 20, "1" * 5000):
        for link in (digits, f"https://discord.com/channels/{guild}/{world.channel.id}/{digits}"):
            for command, options in (("edit", {"prompt": "night"}), ("tree", {})):
                answered = await world.member.slash(world.channel, command, source=link, **options)
                assert 0 < len(answered.response.content) < 300
                await world.env.advance_time(3)
        await ada.slash(world.channel, "admin words remove", word=digits)
        with altered(world, "max_count", digits):
            await ada.slash(world.channel, "admin limits set", target=world.member, limit="max_count", value=digits)
    menu = await ada.context_menu(world.channel, "Limits", world.member)
    with altered(world, f":m{world.member.id}", ":m" + "9" * 20):
        await ada.click(menu.response.message, label="Reset credits")
    with altered(world, f":j{result.id}", ":j" + "9" * 20):
        await world.member.click(result, label="Edit")
    assert faults(world, caplog) == []


@pytest.mark.parametrize("digits", IDS)
def test_a_link_with_an_id_that_no_database_holds_is_no_link(digits: str) -> None:
    for guild, channel, message in ((digits, "1", "1"), ("1", digits, "1"), ("1", "1", digits), ("@me", "1", digits)):
        assert parse_message_link(f"https://discord.com/channels/{guild}/{channel}/{message}") is None


def test_no_button_takes_an_id_that_the_database_cannot_hold() -> None:
    """SQLite's integers have 63 bits and Python reads no number of 5,000 digits."""
    for kind in dynamic_items():
        pattern = kind.__discord_ui_compiled_template__.pattern.replace(SNOWFLAKE, "")
        longest = re.findall(r"(?:\\d|\[0-9\])(?:\{\d*,?(\d*)\}|[+*])", pattern)
        assert all(digits and int(digits) <= 18 for digits in longest), f"{kind.__name__}: {pattern}"


@pytest.mark.parametrize("digits", IDS)
def test_a_forged_form_or_choice_holds_no_such_id(digits: str) -> None:
    for custom_id in (f"zib:modal:m1-{digits}", f"zib:modal:m{digits}-1", f"zib:request:d{digits}"):
        forged: Any = SimpleNamespace(data={"custom_id": custom_id, "components": []})
        assert read_form(forged) is None
        assert read_request_form(forged) is None or (digits.isdecimal() and len(digits) <= 18)
    which = {"component": {"custom_id": "which", "values": [digits]}}
    form = read_form(cast("Any", SimpleNamespace(data={"custom_id": "zib:modal:m1-2", "components": [which]})))
    assert form is not None
    assert form.which is None
    assert ids_in([digits, "7"]) == [7]


@given(st.text(f"|{BIDI}a `\n", max_size=40))
def test_text_that_turns_round_does_not_end_a_spoiler_early(text: str) -> None:
    shown = hidden(text, 100)
    assert shown.startswith("||")
    assert shown.endswith("||")
    assert "||" not in shown[2:-2].removesuffix("``")
    assert not set(shown) & set(BIDI)


@given(st.text(f"`{BIDI}{HALF}ab\n", max_size=60))
def test_text_that_turns_round_stays_in_its_fence(text: str) -> None:
    shown = inert(text, 60)
    assert "``" not in shown[2:-2]
    assert not set(shown) & {*BIDI, HALF}
    assert not set(explain(InvalidRequest(f"“{text}” is no size."))) & {*BIDI, HALF}


@given(EMOJI, st.integers(7, 200))
def test_a_text_is_cut_where_discord_counts_and_never_inside_a_character(text: str, limit: int) -> None:
    for shown in (cut(text, limit), head(text, limit), inert(text, limit)):
        assert len(shown.encode("utf-16-le")) // 2 <= limit
    assert text.startswith(head(text, limit))
    assert utf16_length("😀a") == 3


@example("😀" * 2000, "😀" * 1500, "😀" * 100)
@given(EMOJI, st.text("😀", max_size=1500), st.text("😀", max_size=100))
@examples(max_examples=30)
def test_messages_of_emoji_fit_into_discords_limits(prompt: str, negative: str, note: str) -> None:
    spec = ImageSpec(prompt, 2048, 2048, 1, 50, 7.5, negative, "m")
    link = "https://discord.com/channels/1/2/3"
    texts = [
        result_text(spec, 2**63, [1], 12.3, note, link),
        closing_text(prompt, link, note),
        cancelled_text(prompt, link, note, 100),
        request_text(note, Draft(prompt, negative)),
    ]
    assert all(utf16_length(text) <= MESSAGE_LIMIT for text in texts)
    assert utf16_length(picture_alt_text(prompt, 1, 4)) <= ALT_TEXT_LIMIT


def test_no_length_is_compared_with_a_limit_of_discord_in_python_characters() -> None:
    """Discord counts UTF-16 code units, so :func:`bot.inert.utf16_length` does; Python counts an emoji once."""
    limits = r"MESSAGE_LIMIT|ALT_TEXT_LIMIT|_LABEL_LIMIT|_CHOICE_LIMIT|_TITLE_LIMIT|\b(?:45|80|100|1024|2000|4000)\b"
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in BOT.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"\blen\([^)]*\).*(?:{limits})|(?:{limits})[^#]*\blen\(", line)
    ]
    assert wrong == []


INTERACTION_TOKEN = "aW50ZXJhY3Rpb246MTIzNDU2Nzg5MDEyMzQ1Njc4OlVwTGRqUkw1"
BOT_TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GxYzAb.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
SHORT_TOKEN = "a-token-of-our-own-kind"


def token_error(url: str) -> aiohttp.ClientError:
    request = RequestInfo(URL(url, encoded=True), "PATCH", CIMultiDictProxy(CIMultiDict()), URL(url, encoded=True))
    return aiohttp.TooManyRedirects(request, ())


TOLD_WITH_A_TOKEN = {
    "a URL": f"https://discord.com/api/v10/webhooks/12/{SHORT_TOKEN}/messages/@original",
    "a URL in a proxy's URL": f"http://proxy/login?to=https%3A%2F%2Fdiscord.com%2Fwebhooks%2F12%2F{SHORT_TOKEN}%2Fx",
    "a URL in that one": f"http://proxy/?to=http%253A%252F%252Fa%252Finteractions%252F12%252F{SHORT_TOKEN}%252Fcallback",
    "a payload": f"{{'token': '{SHORT_TOKEN}', 'version': 1}}",
    "JSON": f'{{"token": "{SHORT_TOKEN}"}}',
    "an object": f"ReplyToken(application_id=1, token='{SHORT_TOKEN}')",
    "words": f"the token was {INTERACTION_TOKEN}, and the bot's {BOT_TOKEN}",
    "a header": "Authorization: Bot my-own-bot-token-in-the-settings",
}


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_token_gets_into_the_log_however_it_is_told(settings: Settings, log_format: str) -> None:
    """Through structlog, through the standard library, in a traceback, at any level."""
    token = SecretStr("my-own-bot-token-in-the-settings")
    configure_logging(settings.model_copy(update={"log_format": log_format, "discord_token": token}))
    with kept_lines() as lines:
        for text in TOLD_WITH_A_TOKEN.values():
            structlog.get_logger("bot.test").info("told", reason=text)
            logging.getLogger("aiohttp.client").warning("told %s", text)
            structlog.get_logger("bot.test").warning("told", exc_info=ValueError(text))
    assert len(lines) == 3 * len(TOLD_WITH_A_TOKEN)
    secrets = (SHORT_TOKEN, INTERACTION_TOKEN, BOT_TOKEN, token.get_secret_value())
    assert [line for line in lines if any(secret in line.text for secret in secrets)] == []


async def test_the_error_of_a_task_that_nobody_waits_for_gets_no_token_into_the_log(settings: Settings) -> None:
    """asyncio itself logs it, with the traceback."""
    configure_logging(settings)

    async def request() -> None:
        raise token_error(f"https://discord.com/api/v10/webhooks/12/{SHORT_TOKEN}/messages/@original")

    with kept_lines() as lines:
        task = asyncio.create_task(request())
        await asyncio.wait([task])
        del task
        gc.collect()
    assert any("Task exception was never retrieved" in line.text for line in lines)
    assert not [line for line in lines if SHORT_TOKEN in line.text]


def test_a_failed_request_is_logged_by_type_and_status_alone() -> None:
    """What a proxy answers, and what aiohttp says of it, may have the URL with the token."""
    response: Any = SimpleNamespace(status=502, reason=f"no way to /webhooks/12/{SHORT_TOKEN}")
    page = f"<a href='/webhooks/12/{SHORT_TOKEN}'>again</a>"
    assert reason_of(discord.HTTPException(response, page)) == "HTTPException 502 (0)"
    assert reason_of(token_error(f"https://discord.com/webhooks/12/{SHORT_TOKEN}")) == "TooManyRedirects"
    assert reason_of(Undeliverable("Discord says 404 (10008)")) == "Discord says 404 (10008)"
    wrong = [
        f"{path.relative_to(BOT)}: {line.strip()}"
        for path in [*(BOT / "views").rglob("*.py"), *(BOT / "commands").rglob("*.py")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"log\.\w+\(.*(?:str\(error\)|repr\(error\)|\{error)", line)
    ]
    assert wrong == []
