"""The permissions that the bot needs to post a result in a server's channel, and the refusal if it lacks some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

ServerChannel = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread
"""The channels of a server that hold messages; announcement channels are text channels, forum posts are threads."""

MANAGE_THREADS = "Manage Threads"


@dataclass(frozen=True, slots=True)
class _Need:
    """A permission by the name that Discord's settings show, and by the one that discord.py has for it."""

    name: str
    flag: str


_VIEW = _Need("View Channel", "view_channel")
_SEND = _Need("Send Messages", "send_messages")
_SEND_IN_THREADS = _Need("Send Messages in Threads", "send_messages_in_threads")
_ATTACH = _Need("Attach Files", "attach_files")
_CONNECT = _Need("Connect", "connect")
_MANAGE_THREADS = _Need(MANAGE_THREADS, "manage_threads")


def cannot_post_text(missing: Sequence[str], *, private: bool) -> str:
    """Return what a member is told if the bot lacks permissions; ``private`` if they can ask for a private picture."""
    *others, last = missing
    named = f"{', '.join(others)} and {last}" if others else last
    elsewhere = "with private:True, or in another channel" if private else "in another channel"
    return (
        f"I may not post pictures in this channel: I lack {named}. An admin can allow it in the channel's settings "
        f"→ Permissions. Until then, ask {elsewhere}."
    )


def missing_permissions(channel: ServerChannel, granted: discord.Permissions | None = None) -> tuple[str, ...]:
    """Return the names of the permissions that the bot lacks to post a result in a channel or thread of a server.

    ``granted`` are those that Discord sent with an interaction; None: computed from what discord.py knows.
    """
    permissions = granted if granted is not None else _granted(channel)
    return tuple(need.name for need in _needs(channel) if not getattr(permissions, need.flag))


def missing_for_text(channel: ServerChannel) -> tuple[str, ...]:
    """Return the names of the permissions that the bot lacks to post plain text in a channel of a server."""
    permissions = _granted(channel)
    return tuple(need.name for need in _needs(channel) if need is not _ATTACH and not getattr(permissions, need.flag))


def _granted(channel: ServerChannel) -> discord.Permissions:
    """Return what is granted to the bot in a channel.

    discord.py's channels leave out what depends on a permission that is missing, such as Attach Files without Send
    Messages; the base class leaves in what is granted.
    """
    holder = channel.parent if isinstance(channel, discord.Thread) else channel
    if holder is None:  # the bot does not see the thread's channel
        return discord.Permissions.none()
    return discord.abc.GuildChannel.permissions_for(holder, channel.guild.me)


def _needs(channel: ServerChannel) -> list[_Need]:
    if isinstance(channel, discord.Thread):
        # Sending unarchives a thread, but only a moderator may unarchive a locked one.
        closed = [_MANAGE_THREADS] if channel.archived and channel.locked else []
        return [_VIEW, _SEND_IN_THREADS, _ATTACH, *closed]
    connect = [_CONNECT] if isinstance(channel, discord.VoiceChannel | discord.StageChannel) else []
    return [_VIEW, _SEND, _ATTACH, *connect]
