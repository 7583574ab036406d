"""Links into Discord."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.views.ids import SNOWFLAKE

_MESSAGE_LINK = re.compile(
    rf"https?://(?:\w+\.)?discord(?:app)?\.com/channels/"
    rf"(?P<guild>{SNOWFLAKE}|@me)/(?P<channel>{SNOWFLAKE})/(?P<message>{SNOWFLAKE})/?"
)


@dataclass(frozen=True, slots=True)
class MessageLink:
    """Where a link leads; ``guild_id`` is None in direct messages."""

    guild_id: int | None
    channel_id: int
    message_id: int


def message_link(guild_id: int | None, channel_id: int, message_id: int) -> str:
    """Return the link of a message; ``guild_id`` is None in direct messages."""
    return f"https://discord.com/channels/{guild_id or '@me'}/{channel_id}/{message_id}"


def parse_message_link(text: str) -> MessageLink | None:
    """Return where a link of a message leads; None if the text is no such link."""
    match = _MESSAGE_LINK.fullmatch(text.strip())
    if match is None:
        return None
    guild_id = None if match["guild"] == "@me" else int(match["guild"])
    return MessageLink(guild_id, int(match["channel"]), int(match["message"]))
