"""``/settings``: a member's own defaults for the options that they leave out."""

# No `from __future__ import annotations` here: discord.py reads the annotations, and their ranges are local variables.

from functools import partial
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.parts import BotParts
from bot.requests.member_settings import member_settings_text, read_member_settings, write_member_settings
from bot.requests.options import MemberSettings, options_in
from bot.store.database import Database
from bot.store.member_settings import delete_values
from zimage_engine.profiles import ASPECTS, ModelProfile


def settings_command(database: Database, profile: ModelProfile, max_count: int) -> app_commands.Command[Any, ..., None]:
    """Return the ``/settings`` command for the active profile."""
    count_range = app_commands.Range[int, 1, max_count]

    @app_commands.command(name="settings", description="Your own defaults, for what you leave out")
    @app_commands.describe(
        **options_in("settings", profile, max_count),
        reset="True: remove all your defaults",
    )
    @app_commands.choices(
        aspect=[app_commands.Choice(name=aspect, value=aspect) for aspect in ASPECTS],
        size=[app_commands.Choice(name=name, value=name) for name in profile.scales],
    )
    async def settings(
        interaction: discord.Interaction[Any],
        aspect: str | None = None,
        size: str | None = None,
        count: count_range | None = None,
        private: bool | None = None,  # noqa: FBT001 - an option of the command
        reset: bool = False,  # noqa: FBT001, FBT002 - an option of the command
    ) -> None:
        member = interaction.user.id
        wanted = MemberSettings(aspect, size, count, private)
        if reset:
            await database.write(partial(delete_values, member_id=member))
        if wanted != MemberSettings():
            await database.write(partial(write_member_settings, member_id=member, member_settings=wanted))
        text = member_settings_text(await read_member_settings(database, member), profile)
        await interaction.response.send_message(text, ephemeral=True)

    return settings


def add_to(bot: commands.AutoShardedBot, parts: BotParts) -> None:
    """Add ``/settings``."""
    bot.tree.add_command(settings_command(parts.database, parts.submission.profile, parts.submission.max_count))
