"""``/settings``: a member's own defaults, for what they leave out."""

# No `from __future__ import annotations` here: the options' ranges are made when the program runs, and discord.py
# reads them from the annotations.

from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.store.database import Database
from bot.store.member_settings import (
    MemberSettings,
    delete_member_settings,
    read_member_settings,
    write_member_settings,
)
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
        wanted = MemberSettings(aspect, size, count, private)
        if reset:
            await database.write(partial(delete_member_settings, member_id=member))
        if wanted != MemberSettings():
            await database.write(partial(write_member_settings, member_id=member, member_settings=wanted))
        text = member_settings_text(await read_member_settings(database, member), profile)
        await interaction.response.send_message(text, ephemeral=True)

    return settings


def member_settings_text(member_settings: MemberSettings, profile: ModelProfile) -> str:
    """The values in force, each said to be the member's or the program's."""
    size = member_settings.size
    unknown = size is not None and size not in profile.scales
    lines = [
        _line("aspect", member_settings.aspect, "1:1"),
        _line("size", size, "medium") if not unknown else f"**size**: {size}, which {profile.title} does not know",
        _line("count", member_settings.count, "1"),
        _line(
            "private", None if member_settings.private is None else ("on" if member_settings.private else "off"), "off"
        ),
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
