"""A simulated Discord with the real bot in it: one server, one channel, members who type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import discord
import simcord

from bot.client import ZImageBot

_SETTLE_SECONDS = 600.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class World:
    """The simulated Discord, a text channel in it, and a member."""

    env: Any
    channel: Any
    member: Any


@asynccontextmanager
async def open_world(client: ZImageBot) -> AsyncIterator[World]:
    """Connect the client to a new simulated Discord; closes both at the end."""
    intents = discord.Intents.default()
    intents.message_content = client.intents.message_content  # as if the portal granted what the bot asks for
    env = simcord.Env(
        client, approved_intents=intents, settle_timeout=_SETTLE_SECONDS, shard_count=client.shard_count or 1
    )
    await env.start()
    try:
        guild = env.create_guild(name="Playground")
        channel = guild.create_text_channel("pictures")
        member = guild.add_member(env.create_user("mira"))
        yield World(env, channel, member)
    finally:
        await env.bot.close()
        await env.shutdown()


async def watch(world: World, show: Callable[[str], None]) -> None:
    """Call ``show`` with each new text of each message in the channel, until cancelled."""
    seen: dict[int, str] = {}
    while True:
        for message in world.channel.history():
            if seen.get(message.id) != message.content:
                seen[message.id] = message.content
                show(message.content)
        await asyncio.sleep(_POLL_SECONDS)
