"""``/admin audit``: who changed what in this server."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.commands.parts import BotParts
from bot.views.audit import AuditPages


def add_to(admin: app_commands.Group, parts: BotParts) -> None:
    del parts

    @admin.command(name="audit", description="Who changed what in this server, the newest first")
    async def audit(interaction: discord.Interaction[Any]) -> None:
        await AuditPages.show(interaction)
