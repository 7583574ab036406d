"""Sends the commands to Discord if they have changed, and learns their ids: ``/owner`` in one server, others in all."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.store.database import Database
from bot.store.facts import read_fact, write_fact
from bot.views.command_mentions import CommandMentions

log = structlog.get_logger(__name__)

_GLOBAL_HASH = "commands_hash"
_IDS = "command_ids"
_OWNER_GUILD = "owner_guild"
_SLASH = discord.AppCommandType.chat_input


async def sync_commands(
    tree: app_commands.CommandTree[Any], database: Database, owner_guild_id: int | None, mentions: CommandMentions
) -> None:
    """Send what has changed, and give ``mentions`` the ids of all slash commands.

    The ids of commands that are not sent again are those stored when they were. If the bot is not in the owners'
    server, that is logged.
    """
    await _sync(tree, database, None, _GLOBAL_HASH, mentions)
    before = await read_fact(database, _OWNER_GUILD)
    if before and int(before) != owner_guild_id:
        await _sync_server(tree, database, int(before), mentions)
    if owner_guild_id is not None:
        await _sync_server(tree, database, owner_guild_id, mentions)
    if before != str(owner_guild_id or ""):
        await write_fact(database, _OWNER_GUILD, str(owner_guild_id or ""))


async def _sync_server(
    tree: app_commands.CommandTree[Any], database: Database, guild_id: int, mentions: CommandMentions
) -> None:
    try:
        await _sync(tree, database, discord.Object(guild_id), f"{_GLOBAL_HASH}_{guild_id}", mentions)
    except discord.HTTPException as error:
        log.warning("owner_commands_not_offered", guild=guild_id, code=error.code, reason=error.text)


async def _sync(
    tree: app_commands.CommandTree[Any],
    database: Database,
    guild: discord.Object | None,
    fact: str,
    mentions: CommandMentions,
) -> None:
    payload = [command.to_dict(tree) for command in tree.get_commands(guild=guild)]
    text = json.dumps([tree.client.application_id, payload], sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    ids_fact = f"{_IDS}_{guild.id}" if guild is not None else _IDS
    known = await read_fact(database, ids_fact)
    # A database from before the ids were stored has none: then the commands are sent once more to learn them.
    if known is not None and await read_fact(database, fact) == fingerprint:
        mentions.update(json.loads(known))
        return
    synced = await tree.sync(guild=guild)
    ids = {command.name: command.id for command in synced if command.type is _SLASH}
    mentions.update(ids)
    await write_fact(database, ids_fact, json.dumps(ids))
    await write_fact(database, fact, fingerprint)
    log.info("commands_synced", count=len(synced), guild=guild.id if guild is not None else None)
