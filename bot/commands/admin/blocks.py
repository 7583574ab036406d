"""``/admin block``, ``/admin unblock`` and ``/admin blocked``: members who may not use the bot in this server."""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import AdminContext, answer, bots_ask_for_nothing, guild_of
from bot.commands.parts import BotParts
from bot.errors import Refusal
from bot.moderation.durations import parse_period
from bot.plurals import counted
from bot.store.audit import Change
from bot.store.guild_settings import ADMIN_ROLE, read_setting
from bot.store.moderation import Block, find_block, lift_block, write_block
from bot.views.audit import quoted
from bot.views.moderation import BlockedPages, block_end

_REASON_LIMIT = 200
Person = discord.Member | discord.User


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    context = parts.admin

    @admin.command(name="block", description="Stop a member from using me in this server")
    @app_commands.describe(
        member="Who; may have left the server already",
        period="How long, like 12h or 7d; for good if left out",
        reason="Why; the member sees it",
    )
    @app_commands.rename(period="for")
    async def block(
        interaction: discord.Interaction[Any],
        member: Person,
        period: str | None = None,
        reason: app_commands.Range[str, 1, _REASON_LIMIT] | None = None,
    ) -> None:
        until = int(time.time()) + parse_period(period) if period else None
        await answer(interaction, await block_member(context, interaction, member, until, reason))

    @admin.command(name="unblock", description="Let a member use me in this server again")
    @app_commands.describe(member="Who")
    async def unblock(interaction: discord.Interaction[Any], member: Person) -> None:
        await answer(interaction, await unblock_member(context, interaction, member.id))

    @admin.command(name="blocked", description="Who may not use me in this server")
    async def blocked(interaction: discord.Interaction[Any]) -> None:
        await BlockedPages.show(interaction)


async def block_member(
    context: AdminContext,
    interaction: discord.Interaction[Any],
    member: Person | discord.Object,
    until: int | None,
    reason: str | None,
    *,
    shorten: bool = True,
) -> str:
    """Block a member and cancel their jobs that have not started. Returns the answer.

    ``until`` is a time in UTC seconds, None for good. Without ``shorten`` a block that lasts longer stays as it is.
    ``member`` is a :class:`discord.Object` if they have left the server. Raises :class:`Refusal`.
    """
    guild_id = guild_of(interaction)
    await _check_blockable(interaction, member, context)
    wanted = Block(member.id, until, " ".join(reason.split()) or None if reason else None, int(time.time()))
    row = await context.change(interaction, partial(_block, guild_id=guild_id, block=wanted, shorten=shorten))
    cancelled = await context.jobs.cancellation.cancel_waiting(member.id, guild_id)
    return _blocked_text(wanted, cancelled, changed=row is not None)


async def unblock_member(context: AdminContext, interaction: discord.Interaction[Any], member_id: int) -> str:
    """Unblock a member. Returns the answer. Raises :class:`Refusal` if they are not blocked."""
    row = await context.change(interaction, partial(_unblock, guild_id=guild_of(interaction), member_id=member_id))
    if row is None:
        raise Refusal(f"<@{member_id}> is not blocked in this server; /admin blocked lists who is.")
    return f"<@{member_id}> may use me in this server again."


async def _check_blockable(
    interaction: discord.Interaction[Any], member: Person | discord.Object, context: AdminContext
) -> None:
    if member.id == interaction.user.id:
        raise Refusal("You would block yourself; ask another admin if you mean it.")
    if member.id == interaction.application_id or getattr(member, "bot", False):
        raise bots_ask_for_nothing("there is no need to block one")
    if isinstance(member, discord.Member) and await _is_admin(member, context):
        raise Refusal(f"<@{member.id}> is an admin of this server and cannot be blocked; take that right away first.")


async def _is_admin(member: discord.Member, context: AdminContext) -> bool:
    role_id = await read_setting(context.database, member.guild.id, ADMIN_ROLE)
    return member.guild_permissions.manage_guild or any(str(role.id) == role_id for role in member.roles)


def _block(connection: sqlite3.Connection, *, guild_id: int, block: Block, shorten: bool) -> Change | None:
    before = find_block(connection, guild_id, block.member_id, block.at)
    if not shorten and before is not None and _lasts_as_long(before, block):
        raise Refusal(f"<@{block.member_id}> is blocked {block_end(before)} already.")
    write_block(connection, guild_id, block)
    if before is not None and (before.until, before.reason) == (block.until, block.reason):
        return None
    return Change("block", f"<@{block.member_id}>", _state(before), _state(block), block.member_id, block.reason)


def _lasts_as_long(before: Block, block: Block) -> bool:
    return before.until is None or (block.until is not None and before.until >= block.until)


def _unblock(connection: sqlite3.Connection, *, guild_id: int, member_id: int) -> Change | None:
    before = lift_block(connection, guild_id, member_id, int(time.time()))
    if before is None:
        return None
    return Change("unblock", f"<@{member_id}>", _state(before), _state(None), member_id)


def _state(block: Block | None) -> str:
    return f"blocked {block_end(block)}" if block is not None else "not blocked"


def _blocked_text(block: Block, cancelled: int, *, changed: bool) -> str:
    """Return the answer: who is blocked, until when and why, and how many jobs were cancelled."""
    verb = "is" if changed else "was already"
    reason = f", and is told why: {quoted(block.reason, _REASON_LIMIT)}" if block.reason else ""
    text = f"<@{block.member_id}> {verb} blocked in this server {block_end(block)}{reason}."
    if cancelled:
        were = "was" if cancelled == 1 else "were"
        text += f" {counted(cancelled, 'waiting request')} of theirs {were} cancelled."
    return text
