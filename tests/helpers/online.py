"""The whole bot in the test's own event loop, connected to a loopback Discord over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from bot.client import ZImageBot
from bot.settings import Settings
from tests.helpers.loopback import TOKEN, Loopback, open_loopback
from tests.helpers.worlds import new_client


class Online(NamedTuple):
    """The Discord and the client that is connected to it."""

    discord: Loopback
    client: ZImageBot


@asynccontextmanager
async def online(settings: Settings, patch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Online]:
    """Run the bot until the end of the block, which it enters when the model is loaded."""
    async with open_loopback(patch, **options) as discord:
        client = new_client(settings)
        client._connection.guild_ready_timeout = 0.05  # all servers are known at once
        running = asyncio.create_task(client.start(TOKEN))
        try:
            ready = asyncio.create_task(client.model_ready())
            await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                ready.cancel()
                running.result()
            await asyncio.wait_for(client.wait_until_ready(), 20)
            yield Online(discord, client)
        finally:
            await client.close()
            await running
