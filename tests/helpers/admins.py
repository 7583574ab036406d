"""For tests of administration: admins, servers, and the answers to their commands."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import discord

from bot.playground.world import World
from bot.store import audit, moderation
from bot.store.audit import Change
from bot.store.moderation import Block, Rule


def admin_of(world: World, guild: Any = None, name: str = "ada") -> Any:
    """Add a member with Manage Server to the world's server, or to ``guild``."""
    guild = guild or world.channel.guild
    boss = guild.create_role("boss", permissions=discord.Permissions(manage_guild=True))
    return guild.add_member(world.env.create_user(f"{name}{guild.id}"), roles=[boss])


def demote(world: World, who: Any) -> None:
    """Take all roles, and with them the rights, from a member of the world's server."""
    guild = world.channel.guild
    for role_id in list(world.env.backend.get_guild(guild.id).members[who.id].role_ids):
        world.env.backend.remove_member_role(guild.id, who.id, role_id)


def moderator_of(world: World, channel: Any = None, name: str = "mo") -> Any:
    """Add a member with Manage Messages to the world's server, or to a channel's."""
    guild = (channel or world.channel).guild
    mods = guild.create_role("mods", permissions=discord.Permissions(manage_messages=True))
    return guild.add_member(world.env.create_user(f"{name}{guild.id}"), roles=[mods])


def another_server(world: World) -> tuple[Any, Any]:
    """Add a second server. Returns a channel of it and its admin."""
    channel = world.env.create_guild(name="Elsewhere").create_text_channel("elsewhere")
    return channel, admin_of(world, channel.guild, "eve")


async def told(world: World, who: Any, command: str, place: Any = None, /, **options: Any) -> discord.Message:
    """Run a slash command, whose answer only ``who`` may see. Returns the answer."""
    answered = await who.slash(place or world.channel, command, **options)
    assert answered.ephemeral
    assert world.env.errors is not None  # a refusal is an error that was answered
    said = answered.response or answered.followups[-1]
    assert len(said.message.content) <= 2000
    return said.message


def labels(message: discord.Message) -> list[str | None]:
    """Return the labels of a message's buttons."""
    return [item.label for row in message.components for item in row.children]  # type: ignore[union-attr]


async def audited(world: World, guild_id: int | None = None) -> list[Change]:
    """Return the changes of a server's audit, the oldest first."""
    look = partial(audit.newest, guild_id=guild_id or world.channel.guild.id, count=1000)
    return [row.change for row in reversed(await world.env.bot.database.read(look))]


async def ask(world: World, who: Any = None, channel: Any = None, prompt: str = "a red circle") -> str:
    """Run ``/imagine``. Returns the text of the refusal or of the result."""
    who, channel = who or world.member, channel or world.channel
    await who.slash(channel, "imagine", prompt=prompt, seed=1)
    assert world.env.errors is not None
    return channel.history(viewer=who)[-1].content


async def blocks_in(world: World, guild_id: int | None = None) -> list[Block]:
    """Return the blocks of a server that have not ended."""
    look = partial(moderation.blocks_of, guild_id=guild_id or world.channel.guild.id, now=int(time.time()))
    return await world.env.bot.database.read(look)


async def channel_rules_in(world: World) -> dict[int, Rule]:
    """Return the rules of the world's server, by channel."""
    return await world.env.bot.database.read(partial(moderation.channel_rules, guild_id=world.channel.guild.id))
