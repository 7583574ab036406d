"""A Discord on this machine, HTTP and gateway, for discord.py's own client.

It keeps channels, messages and interactions as Discord does, acts for members, and fails on request. The bot may run
in the same event loop, in another thread, or in another process (``tests/helpers/launch_bot.py``).
"""

from tests.helpers.loopback.calls import Call
from tests.helpers.loopback.faults import Fault
from tests.helpers.loopback.messages import Attachment, Entry, Message, shown
from tests.helpers.loopback.places import (
    ANNOUNCEMENTS,
    APPLICATION,
    CHANNEL,
    FORUM,
    FORUM_POST,
    GUILD,
    MEMBER,
    MEMBERS,
    TEXT_CHANNELS,
    THREAD,
    VOICE,
)
from tests.helpers.loopback.server import TOKEN, Loopback, open_loopback

__all__ = [
    "ANNOUNCEMENTS",
    "APPLICATION",
    "CHANNEL",
    "FORUM",
    "FORUM_POST",
    "GUILD",
    "MEMBER",
    "MEMBERS",
    "TEXT_CHANNELS",
    "THREAD",
    "TOKEN",
    "VOICE",
    "Attachment",
    "Call",
    "Entry",
    "Fault",
    "Loopback",
    "Message",
    "open_loopback",
    "shown",
]
