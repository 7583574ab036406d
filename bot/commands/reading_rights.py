"""Whether a member can read a channel, and so may see the pictures in it."""

from __future__ import annotations

import discord

from bot.commands.invocation import Invocation


async def may_read(invocation: Invocation, channel: discord.abc.GuildChannel | discord.Thread | None) -> bool:
    """Return whether the member can read the channel's history. Private threads are read by their members alone."""
    member = invocation.user
    if channel is None or not isinstance(member, discord.Member):
        return False
    granted = channel.permissions_for(member)
    if not (granted.read_messages and granted.read_message_history):
        return False
    if not isinstance(channel, discord.Thread) or not channel.is_private() or granted.manage_threads:
        return True
    try:
        await channel.fetch_member(member.id)
    except discord.HTTPException:
        return False
    return True
