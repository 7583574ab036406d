"""What the bot says of its state beside its name, as Discord's gateway receives it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.presence import PRESENCE_SECONDS
from bot.settings import Settings
from bot.store.guild_settings import INSTANCE
from tests.helpers.loopback import GUILD
from tests.helpers.online import Online, online
from tests.helpers.waiting import until

IDLE = ("/imagine", "online")


def said(opened: Online) -> list[tuple[str, str]]:
    return [seen(presence) for presence in opened.discord.gateway.presences]


def seen(presence: dict[str, Any]) -> tuple[str, str]:
    """The text and the colour; a bot's custom status has its text in ``state``."""
    (activity,) = presence.get("activities") or [presence["game"]]
    assert activity["type"] == 4
    return activity["state"], presence["status"]


@pytest.fixture
async def opened(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Online]:
    monkeypatch.setattr("bot.client.PRESENCE_SECONDS", 0.05)
    async with online(settings, monkeypatch) as running:
        yield running


def test_discords_limit_is_kept() -> None:
    assert 5 * PRESENCE_SECONDS > 20, "five in twenty seconds"


async def test_it_begins_with_loading_and_says_when_it_is_ready(opened: Online) -> None:
    assert said(opened)[0] == ("loading the model", "idle")
    await until(lambda: said(opened)[-1] == IDLE)


async def test_each_state_is_shown_once(opened: Online) -> None:
    jobs = opened.client.jobs
    await until(lambda: said(opened)[-1] == IDLE)
    shown = len(said(opened))
    jobs.pause(int(GUILD))
    for count in (1, 2):
        await opened.discord.command("imagine", prompt="a red circle", steps=1)
        await until(lambda count=count: said(opened)[-1] == (f"{count} in the queue · /imagine", "online"))
    jobs.pause(INSTANCE)
    await until(lambda: said(opened)[-1] == ("paused", "idle"))
    jobs.resume(INSTANCE)
    jobs.drain()
    await until(lambda: said(opened)[-1] == ("restarting soon", "idle"))
    jobs.undrain()
    await until(lambda: said(opened)[-1] == ("2 in the queue · /imagine", "online"))
    jobs.resume(int(GUILD))
    await until(lambda: said(opened)[-1] == IDLE)
    texts = [text for text, _ in said(opened)[shown:]]
    assert all(one != other for one, other in itertools.pairwise(texts)), "only changes are sent"


async def test_a_new_session_begins_with_the_state_of_then(opened: Online) -> None:
    gateway = opened.discord.gateway
    await until(lambda: said(opened)[-1] == IDLE)
    shown = len(said(opened))
    gateway.invalidate(resumable=False)
    await until(lambda: gateway.identified == 2)
    assert said(opened)[shown] == IDLE
