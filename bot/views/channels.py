"""Channels in texts."""

from __future__ import annotations

import re

import discord

from bot.inert import one_line
from bot.views.ids import SNOWFLAKE

_MENTION = re.compile(rf"<#({SNOWFLAKE})>")


def name_categories(text: str, guild: discord.Guild | None) -> str:
    """Return the text with categories in words instead of as mentions, since nobody can go to a category."""
    if guild is None:
        return text

    def named(mention: re.Match[str]) -> str:
        channel = guild.get_channel(int(mention[1]))
        if not isinstance(channel, discord.CategoryChannel):
            return mention[0]
        name = discord.utils.escape_mentions(discord.utils.escape_markdown(one_line(channel.name)))
        return f"the channels in the category **{name}**"

    return _MENTION.sub(named, text)
