"""Mentions of the bot in the text of a message."""

from __future__ import annotations

import re

import discord

_SEVERAL_SPACES = re.compile(r"[^\S\n]+")


def is_mentioned(content: str, bot_id: int) -> bool:
    """Return whether a text mentions the bot; a reply that pings it does not by itself."""
    return _mention(bot_id).search(content) is not None


def without_mentions(content: str, bot_id: int) -> str:
    """Return a text without mentions of the bot, and with single spaces."""
    return _SEVERAL_SPACES.sub(" ", _mention(bot_id).sub(" ", content)).strip()


def with_own_mention(message: discord.Message, me: discord.ClientUser) -> str:
    """Return what a message says, with mentions of the bot's role as mentions of the bot: people take either."""
    role = message.guild.self_role if message.guild is not None else None
    return message.content if role is None else message.content.replace(role.mention, me.mention)


def _mention(bot_id: int) -> re.Pattern[str]:
    return re.compile(rf"<@!?{bot_id}>")
