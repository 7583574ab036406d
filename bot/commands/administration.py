"""``/admin``: what a server's admins set. Discord's own permissions decide who sees it; Manage Server by default."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import discord
import structlog
from discord import app_commands

from bot.commands.replies import EVERY_REPLY
from bot.commands.subjects import EDITABLE
from bot.store.database import Database
from bot.store.guilds import read_setting, write_setting

log = structlog.get_logger(__name__)

_DEFAULTS = {EVERY_REPLY: "off", EDITABLE: "all"}
_MEANINGS = {
    (EVERY_REPLY, "on"): "every reply to one of my pictures is an edit",
    (EVERY_REPLY, "off"): "replies are edits where they start with /edit, have a flag or mention me",
    (EDITABLE, "own"): "members edit their own pictures only",
    (EDITABLE, "results"): "everything that I drew can be edited",
    (EDITABLE, "all"): "everybody's pictures can be edited",
}


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class AdminCommands(app_commands.Group):
    """The group; all its answers are seen by the admin alone."""

    def __init__(self, database: Database) -> None:
        super().__init__(name="admin", description="For admins of this server")
        self._database = database

    @app_commands.command(name="settings", description="See and change what holds in this server")
    @app_commands.describe(
        replies_as_edits="on: every reply to one of my pictures is an edit",
        edit_images_of="Whose pictures members may edit",
    )
    async def settings(
        self,
        interaction: discord.Interaction[Any],
        replies_as_edits: Literal["on", "off"] | None = None,
        edit_images_of: Literal["own", "results", "all"] | None = None,
    ) -> None:
        guild_id = interaction.guild_id
        assert guild_id is not None, "the group is for servers only"
        for name, value in ((EVERY_REPLY, replies_as_edits), (EDITABLE, edit_images_of)):
            if value is not None:
                await self._database.write(partial(write_setting, guild_id=guild_id, name=name, value=value))
                log.info("setting_changed", guild=guild_id, admin=interaction.user.id, name=name, value=value)
        lines = [await self._line(guild_id, name) for name in _DEFAULTS]
        await interaction.response.send_message("\n".join(lines), ephemeral=True)

    async def _line(self, guild_id: int, name: str) -> str:
        value = await read_setting(self._database, guild_id, name) or _DEFAULTS[name]
        return f"**{name}**: {value}, {_MEANINGS[name, value]}."
