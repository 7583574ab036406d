"""A bot in so many servers that Discord tells it to connect with two shards."""

from __future__ import annotations

import re

import discord
import pytest

from bot.settings import Settings
from tests.helpers.drawing import Drawing
from tests.helpers.loopback import CHANNEL, MEMBER
from tests.helpers.loopback.places import direct_channel
from tests.helpers.online import online
from tests.helpers.waiting import until


async def _without_pause(_: discord.Client, __: int | None, *, initial: bool = False) -> None:
    """Replaces the five seconds that discord.py leaves between two shards."""


async def test_both_shards_serve_their_places_and_ping_names_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discord.Client, "before_identify_hook", _without_pause)
    async with online(settings, monkeypatch, shards=2) as running:
        gateway, client = running.discord.gateway, running.client
        assert client.shard_count == gateway.identified == 2
        private = running.discord.state.conversation(MEMBER).id
        assert private == direct_channel(MEMBER).id

        drawing = Drawing(running)
        for place in (CHANNEL, private):
            asked = await drawing.ask(channel=place)
            (await asked.ended()).check_one_picture()

        await running.discord.command("ping")
        await until(lambda: running.discord.seen()[-1].content.startswith("Gateway"))
        assert re.match(r"Gateway: \S+( ms)? \(shard 0: .+, shard 1: .+\)\n", running.discord.seen()[-1].content)

        await gateway.disconnect(shard=1)
        await until(lambda: gateway.resumed == 1)
        asked = await drawing.ask(channel=CHANNEL)
        (await asked.ended()).check_one_picture()
        assert gateway.identified == 2, "the shard resumed, and the other one stayed"
        await drawing.clean_up()
