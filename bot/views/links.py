"""Links into Discord."""

from __future__ import annotations


def message_link(guild_id: int | None, channel_id: int, message_id: int) -> str:
    """Return the link of a message; ``guild_id`` is None in direct messages."""
    return f"https://discord.com/channels/{guild_id or '@me'}/{channel_id}/{message_id}"
