"""``/admin``: what a server's admins see and change. Each section adds its commands to the group.

Discord decides who may use it: members with Manage Server, unless the server's integrations say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.admin import (
    audit,
    blocks,
    channels,
    limits,
    member_menu,
    models,
    moderate_menu,
    pause,
    settings,
    setup,
    usage,
    words,
)
from bot.commands.parts import BotParts
from bot.views.audit import AuditPages
from bot.views.moderation import RULE_PAGES
from bot.views.quota import LimitPages
from bot.views.setup import SetupChannels, SetupCredits, SetupSwitch

_SECTIONS: tuple[Callable[[app_commands.Group, BotParts], None], ...] = (
    setup.add_to,
    limits.add_to,
    models.add_to,
    blocks.add_to,
    channels.add_to,
    words.add_to,
    pause.add_to,
    usage.add_to,
    audit.add_to,
    settings.add_to,
)
_LISTS = (AuditPages, LimitPages, *RULE_PAGES)


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/admin`` with its sections, the menus for admins, and their buttons. Only the admin sees the answers."""
    admin = app_commands.Group(
        name="admin",
        description="For admins of this server",
        # Without it the client's allowed_contexts, which contain direct messages, override guild_only.
        guild_only=True,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        # Not for members who installed the bot for themselves: Discord checks no server permissions for them.
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )
    for add_section in _SECTIONS:
        add_section(admin, parts)
    bot.tree.add_command(admin)
    member_menu.add_to(bot, parts)
    moderate_menu.add_to(bot, parts)
    bot.add_dynamic_items(*_LISTS, SetupChannels, SetupSwitch, SetupCredits)
