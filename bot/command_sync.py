"""Sends the commands to Discord if they have changed: ``/owner`` for one server, the others for all."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.store.database import Database
from bot.store.facts import read_fact, write_fact

log = structlog.get_logger(__name__)

_GLOBAL_HASH = "commands_hash"
_OWNER_GUILD = "owner_guild"


async def sync_commands(tree: app_commands.CommandTree[Any], database: Database, owner_guild_id: int | None) -> None:
    """Send what has changed. If the bot is not in the owners' server, that is logged."""
    await _sync(tree, database, None, _GLOBAL_HASH)
    before = await read_fact(database, _OWNER_GUILD)
    if before and int(before) != owner_guild_id:
        await _sync_server(tree, database, int(before))
    if owner_guild_id is not None:
        await _sync_server(tree, database, owner_guild_id)
    if before != str(owner_guild_id or ""):
        await write_fact(database, _OWNER_GUILD, str(owner_guild_id or ""))


async def _sync_server(tree: app_commands.CommandTree[Any], database: Database, guild_id: int) -> None:
    try:
        await _sync(tree, database, discord.Object(guild_id), f"{_GLOBAL_HASH}_{guild_id}")
    except discord.HTTPException as error:
        log.warning("owner_commands_not_offered", guild=guild_id, code=error.code, reason=error.text)


async def _sync(
    tree: app_commands.CommandTree[Any], database: Database, guild: discord.Object | None, fact: str
) -> None:
    payload = [command.to_dict(tree) for command in tree.get_commands(guild=guild)]
    text = json.dumps([tree.client.application_id, payload], sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    if await read_fact(database, fact) == fingerprint:
        return
    synced = await tree.sync(guild=guild)
    await write_fact(database, fact, fingerprint)
    log.info("commands_synced", count=len(synced), guild=guild.id if guild is not None else None)
