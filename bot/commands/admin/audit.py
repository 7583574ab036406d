"""``/admin audit``: who changed what in this server."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from bot.commands.admin.context import Office
from bot.views.audit import AuditPages


def add_to(admin: app_commands.Group, office: Office) -> None:
    del office

    @admin.command(name="audit", description="Who changed what in this server, the newest first")
    async def audit(interaction: discord.Interaction[Any]) -> None:
        await AuditPages.show(interaction)
