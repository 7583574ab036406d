"""``/settings``: a member's own defaults, for what they leave out."""

# No `from __future__ import annotations` here: the options' ranges are made when the program runs, and discord.py
# reads them from the annotations.

from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.store.database import Database
from bot.store.member_settings import Preferences, drop_preferences, read_preferences, write_preferences
from zimage_engine.profiles import ASPECTS, ModelProfile


def settings_command(database: Database, profile: ModelProfile, max_count: int) -> app_commands.Command[Any, ..., None]:
    """The command for what the profile can do."""
    count_range = app_commands.Range[int, 1, max_count]

    @app_commands.command(name="settings", description="Your own defaults, for what you leave out")
    @app_commands.describe(
        aspect="Width : height of new pictures",
        size="Size of new pictures",
        count=f"How many pictures at a time, 1 to {max_count}",
        private="Whether you alone see your pictures",
        reset="True: back to how it was before you set anything",
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
        wanted = Preferences(aspect, size, count, private)
        if reset:
            await database.write(partial(drop_preferences, member_id=member))
        if wanted != Preferences():
            await database.write(partial(write_preferences, member_id=member, preferences=wanted))
        text = preferences_text(await read_preferences(database, member), profile)
        await interaction.response.send_message(text, ephemeral=True)

    return settings


def preferences_text(preferences: Preferences, profile: ModelProfile) -> str:
    """The values in force, each said to be the member's or the program's."""
    size = preferences.size
    unknown = size is not None and size not in profile.scales
    lines = [
        _line("aspect", preferences.aspect, "1:1"),
        _line("size", size, "medium") if not unknown else f"**size**: {size}, which {profile.title} does not know",
        _line("count", preferences.count, "1"),
        _line("private", None if preferences.private is None else ("on" if preferences.private else "off"), "off"),
    ]
    return "\n".join(
        [
            "What holds where you leave an option out:",
            *lines,
            "-# An edit keeps its picture's shape: there only count and private hold.",
        ]
    )


def _line(name: str, value: str | int | None, default: str) -> str:
    return f"**{name}**: {default} (default)" if value is None else f"**{name}**: {value}"
