"""The bot with discord.py's own HTTP client and gateway, connected to a small Discord on this machine."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from bot.cli.run import run_bot
from bot.errors import DeviceGone, StartupError
from bot.settings import Settings
from tests.helpers.faults import Immediate
from tests.helpers.loopback import CHANNEL, MEMBER, TOKEN, Loopback, open_loopback
from tests.helpers.online import online
from tests.helpers.pictures import picture_of
from tests.helpers.waiting import until
from zimage_engine.config import EngineConfig
from zimage_engine.places import DevicePlace
from zimage_engine.types import Plan, PlanResult, WorkerLost
from zimage_engine.weights import Report

POSTED = f"channels/{CHANNEL}/messages"


@contextmanager
def elsewhere(patch: pytest.MonkeyPatch, **options: int) -> Iterator[Loopback]:
    """Run the Discord in a thread of its own, for a bot with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = open_loopback(patch, **options)
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_imagine_over_the_wire(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with online(settings, monkeypatch) as (discord, _):
        token = await discord.command("imagine", prompt="a red circle on a blue background", seed=7)
        await until(lambda: bool(discord.made("POST", POSTED)))
        await until(lambda: bool(discord.made("DELETE", f"webhooks/.*/{token}/messages/.*")))
        posted = discord.made("POST", POSTED)[0]
    assert picture_of(next(iter(posted.files.values()))).size == (256, 256)
    assert posted.body["attachments"][0]["description"] == "a red circle on a blue background"
    assert posted.body["allowed_mentions"] == {"parse": []}
    assert posted.body["enforce_nonce"] is True


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, {"message": "slow down", "retry_after": 0.2, "global": False}), (500, {}), (503, {})],
)
async def test_a_result_is_posted_once_although_discord_stumbles(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int, body: dict[str, object]
) -> None:
    async with online(settings, monkeypatch) as (discord, _):
        discord.fail("POST", POSTED, status, **body)
        await discord.command("imagine", prompt="a red circle", steps=2)
        await until(lambda: len(discord.made("POST", POSTED)) == 2)
        first, second = discord.made("POST", POSTED)
    assert first.files == second.files
    assert first.body["nonce"] == second.body["nonce"]


def test_a_wrong_token_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(monkeypatch), pytest.raises(StartupError, match="does not accept the token"):
        run_bot(settings, "wrong.token.here")


def test_an_intent_that_is_not_granted_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(monkeypatch, gateway_close=4014), pytest.raises(StartupError, match="does not grant an intent"):
        run_bot(settings, TOKEN)


def test_a_lost_device_ends_the_program_with_status_70(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is kept; a supervisor would start the program again."""

    class Dead(Immediate):
        def execute(self, plan: Plan) -> PlanResult:
            raise RuntimeError("the device fell off the bus")

    monkeypatch.setattr("zimage_engine.device.worker.Worker.load", lambda *_: Dead())
    with elsewhere(monkeypatch) as discord:
        requester = threading.Thread(target=ask_until_heard, args=(discord,))
        requester.start()
        with pytest.raises(DeviceGone, match="has to be restarted") as caught:
            run_bot(settings, TOKEN)
        requester.join()
    assert caught.value.exit_status == 70
    assert any("Your request is saved and starts when I'm back." in json.dumps(call.body) for call in discord.calls)
    with sqlite3.connect(settings.database_path) as database:
        states = {row[0] for row in database.execute("SELECT state FROM jobs")}
        # A job that was on two workers when they were lost has failed: it may be the cause.
        assert "queued" in states <= {"queued", "failed"}
    database.close()


def test_workers_that_are_lost_while_they_load_end_the_program_with_its_own_status(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(config: EngineConfig, place: DevicePlace, report: Report) -> NoReturn:
        raise WorkerLost("it died")

    monkeypatch.setattr("zimage_engine.executor.load_worker", die)
    with elsewhere(monkeypatch), pytest.raises(DeviceGone, match="has to be restarted"):
        run_bot(settings, TOKEN)


def ask_until_heard(discord: Loopback) -> None:
    """Send commands from another thread, enough for the bot to lose its workers and give up."""
    end = time.monotonic() + 30
    while not discord.ready and time.monotonic() < end:
        time.sleep(0.05)
    for _ in range(3):
        asyncio.run_coroutine_threadsafe(discord.command("imagine", prompt="a red circle"), discord.loop).result(10)


ELSEWHERE = "999"
HERE_ONLY = "I work in servers, and only in those that I am a member of."


def said(discord: Loopback) -> list[str]:
    """Return the texts that interactions were answered with."""
    return [call.body["data"]["content"] for call in discord.made("POST", "interactions/.*/callback")]


async def test_installed_by_a_member_is_off_by_default(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with online(settings, monkeypatch) as (discord, _):
        await discord.command("imagine", prompt="a red circle", installed_in=ELSEWHERE)
        await until(lambda: bool(said(discord)))
        assert said(discord) == [f"{HERE_ONLY}\n``a red circle``"]
        (call,) = discord.made("POST", "interactions/.*/callback")
        assert call.body["data"]["flags"] & 64, "for the member alone"


async def test_installed_by_a_member_it_counts_as_theirs_and_that_server_s_rules_hold(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"user_install": True})
    async with online(settings, monkeypatch) as (discord, _):
        token = await discord.command("imagine", prompt="a red circle", steps=2, installed_in=ELSEWHERE)
        answered = f"webhooks/.*/{token}/messages/.*"
        await until(lambda: any(call.files for call in discord.made("PATCH", answered)))
        assert discord.made("POST", POSTED) == [], "it cannot write in that server"
        with sqlite3.connect(settings.database_path) as database:
            assert database.execute("SELECT scope_id, guild_id FROM jobs").fetchall() == [(0, int(ELSEWHERE))]
            database.execute("INSERT INTO blocks VALUES (?, ?, NULL, 'spam', 1)", (int(ELSEWHERE), int(MEMBER)))
        database.close()
        await discord.command("imagine", prompt="a red circle", steps=2, installed_in=ELSEWHERE)
        await until(lambda: "You are blocked here: ``spam``." in said(discord)[-1])
        await discord.command("imagine", prompt="a red circle", steps=2)
        await until(lambda: bool(discord.made("POST", POSTED)))
