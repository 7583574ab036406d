"""What all admin commands need: making a change with its row in the audit, and the line in the log channel."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import discord
import structlog
from discord import app_commands

from bot.errors import Refusal
from bot.inert import cut
from bot.jobs.service import JobService
from bot.store import audit
from bot.store.audit import AuditRow, Change
from bot.store.database import Database
from bot.store.guild_settings import ADMIN_ROLE, INSTANCE, LOG_CHANNEL, find_setting, read_setting
from bot.views.audit import audit_line
from bot.views.card_messages import NOT_SENT
from bot.views.channels import name_categories
from bot.views.discord_requests import reason_of
from bot.views.text import MESSAGE_LIMIT

log = structlog.get_logger(__name__)

MakeChange = Callable[[sqlite3.Connection], Change | None]
"""Changes something in the transaction of the connection. Returns None if there is nothing to change."""


class OwnersOnly(Refusal, app_commands.CheckFailure):
    """Not an owner. A ``CheckFailure``, since discord.py passes no other errors from checks to the error handler."""


class AdminContext:
    """Makes changes in the interaction's own server: no command and no button can name another one."""

    def __init__(
        self,
        client: discord.AutoShardedClient,
        database: Database,
        jobs: JobService,
        owner_ids: frozenset[int] = frozenset(),
    ) -> None:
        self.client = client
        self.database = database
        self.jobs = jobs
        self._owner_ids = owner_ids
        self.faults: Callable[[], list[str]] = list
        """Returns what is wrong with the operator's settings, found while the bot runs, in one sentence each."""
        self._telling: set[asyncio.Task[None]] = set()

    def check_owner(self, interaction: discord.Interaction[Any]) -> None:
        """Raise :class:`OwnersOnly` if the member is not one of the people who run the bot."""
        if interaction.user.id not in self._owner_ids:
            raise OwnersOnly("Only the people who run this bot can do that (BOT_OWNER_IDS).")

    async def change(
        self, interaction: discord.Interaction[Any], make: MakeChange, *, everywhere: bool = False
    ) -> AuditRow | None:
        """Make a change and write its audit row in one transaction, then tell the server's log channel.

        Returns None if there is nothing to change. ``everywhere`` is for the operator, whose changes are in no server.
        """
        guild_id = INSTANCE if everywhere else guild_of(interaction)
        made = await self.database.write(partial(_make, make=make, guild_id=guild_id, actor_id=interaction.user.id))
        row, previous_channel = made
        if row is not None:
            log.info("changed", guild=guild_id, admin=row.actor_id, action=row.change.action, change=row.id)
            # Not awaited: Discord's rate limits may delay it for longer than the admin's command can be answered.
            task = asyncio.create_task(
                self._post_to_log_channel(guild_id, row, previous_channel), name=f"log-channel-{row.id}"
            )
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        return row

    async def _post_to_log_channel(self, guild_id: int, row: AuditRow, before: int | None) -> None:
        """Post a line in the server's log channel, and in the one ``before`` the change. A failure is logged."""
        channels = {before, await self.database.read(partial(_log_channel, guild_id=guild_id))}
        for channel_id in [each for each in channels if each is not None]:
            channel = self.client.get_partial_messageable(channel_id, guild_id=guild_id)
            line = name_categories(audit_line(row), self.client.get_guild(guild_id))
            try:
                await channel.send(line, suppress_embeds=True, silent=True)
            except NOT_SENT as error:
                log.warning("log_channel_closed", guild=guild_id, channel=channel_id, reason=reason_of(error))

    async def check_admin(self, interaction: discord.Interaction[Any]) -> None:
        """Raises :class:`Refusal` if the member has neither Manage Server nor the configured admin role.

        For buttons. For slash commands Discord checks the permissions that the server's integrations say.
        """
        guild_of(interaction)
        if interaction.permissions.manage_guild:
            return
        role_id = await read_setting(self.database, interaction.guild_id, ADMIN_ROLE)
        member = interaction.user
        if role_id and isinstance(member, discord.Member) and any(role.id == int(role_id) for role in member.roles):
            return
        raise Refusal("Only admins of this server can do that: you need Manage Server, or the admin role.")


def has_audit(interaction: discord.Interaction[Any]) -> bool:
    """Return whether the interaction is in a server that the bot is a member of: only those have an audit."""
    installed_by_member_alone = interaction.is_user_integration() and not interaction.is_guild_integration()
    return interaction.guild_id is not None and not installed_by_member_alone


def guild_of(interaction: discord.Interaction[Any]) -> int:
    """Return the id of the interaction's server. Raises :class:`Refusal` if the bot is no member of one there."""
    if interaction.guild_id is None or not has_audit(interaction):
        raise Refusal("This works in servers only, and in those that I am a member of.")
    return interaction.guild_id


def bots_ask_for_nothing(conclusion: str) -> Refusal:
    """Return the refusal of a change that concerns a bot; ``conclusion`` is such as "they need no limits"."""
    return Refusal(f"Bots cannot ask for pictures, so {conclusion}.")


def server_menu(name: str, callback: Any, permissions: discord.Permissions) -> app_commands.ContextMenu:
    """Return a context menu for servers that the bot is a member of, which members with these permissions see."""
    menu = app_commands.ContextMenu(
        name=name,
        callback=callback,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    menu.guild_only = True
    menu.default_permissions = permissions
    return menu


async def answer(interaction: discord.Interaction[Any], text: str, **extra: Any) -> None:
    """Answer the admin privately."""
    text = name_categories(text, interaction.guild)
    await interaction.response.send_message(cut(text, MESSAGE_LIMIT), ephemeral=True, suppress_embeds=True, **extra)


def _make(
    connection: sqlite3.Connection, *, make: MakeChange, guild_id: int, actor_id: int
) -> tuple[AuditRow | None, int | None]:
    """Make a change. Returns its audit row, and the log channel before it."""
    before = _log_channel(connection, guild_id)
    change = make(connection)
    row = audit.record(connection, guild_id, actor_id, change, int(time.time())) if change is not None else None
    return row, before


def _log_channel(connection: sqlite3.Connection, guild_id: int) -> int | None:
    value = find_setting(connection, guild_id, LOG_CHANNEL)
    return int(value) if value is not None else None
