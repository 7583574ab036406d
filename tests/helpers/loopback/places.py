"""The server of the loopback Discord: its channels, members and permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import discord

APPLICATION, MEMBER = "1000", "4000"
GUILD = str((1 << 22) + 2000)  # of two shards the second one serves it, and the first one direct messages
CHANNEL = "3000"
TEXT_CHANNELS = (CHANNEL, "3001", "3002")
ANNOUNCEMENTS, FORUM, FORUM_POST, THREAD, VOICE = "3010", "3020", "3021", "3030", "3040"
MEMBERS = {MEMBER: "ada", "4001": "ben", "4002": "cleo", "4003": "dora", "4004": "emil"}
"""The members by id. The first owns the server and the application."""
_CROWD_BASE, _CHANNEL_BASE, _GUILD_BASE = 1_000_000, 2_000_000, 4000

TEXT, DIRECT, VOICE_TEXT, NEWS, PUBLIC_THREAD, FORUM_KIND = 0, 1, 2, 5, 11, 15
_DIRECT_BASE = 50_000_000

EVERYONE = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    read_message_history=True,
    connect=True,
    use_application_commands=True,
)
"""What the bot and every member may do in the server. It is what the invitation asks for, and what voice needs."""
_ALL = discord.Permissions.all()
BOT = {"id": APPLICATION, "username": "zimage", "discriminator": "0", "avatar": None, "bot": True}


@dataclass(slots=True)
class Channel:
    """A channel or thread. ``denied`` are the permissions that the bot lacks in it."""

    id: str
    kind: int
    name: str
    parent_id: str | None = None
    recipient_id: str | None = None
    denied: int = 0
    archived: bool = False
    locked: bool = False

    @property
    def is_thread(self) -> bool:
        return self.kind == PUBLIC_THREAD

    @property
    def guild_id(self) -> str | None:
        return None if self.kind == DIRECT else GUILD


def new_channels() -> dict[str, Channel]:
    """Return the server's channels and threads by id."""
    texts = [Channel(number, TEXT, f"pictures-{place}") for place, number in enumerate(TEXT_CHANNELS)]
    others = [
        Channel(ANNOUNCEMENTS, NEWS, "announcements"),
        Channel(FORUM, FORUM_KIND, "gallery"),
        Channel(FORUM_POST, PUBLIC_THREAD, "a post", parent_id=FORUM),
        Channel(THREAD, PUBLIC_THREAD, "a thread", parent_id=CHANNEL),
        Channel(VOICE, VOICE_TEXT, "voice"),
    ]
    return {channel.id: channel for channel in [*texts, *others]}


def crowd(count: int, first: int = 0) -> list[str]:
    """Return the ids of ``count`` further members from the one with the number ``first``; there are a million."""
    return [str(_CROWD_BASE + number) for number in range(first, first + count)]


def text_channels(count: int) -> list[Channel]:
    """Return further text channels of the server, for :attr:`State.channels`."""
    return [Channel(str(_CHANNEL_BASE + number), TEXT, f"busy-{number}") for number in range(count)]


def name_of(user_id: str) -> str | None:
    """Return the name of a member; None if there is none with this id."""
    if _CROWD_BASE <= int(user_id) < _CHANNEL_BASE:
        return f"member {int(user_id) - _CROWD_BASE}"
    return MEMBERS.get(user_id)


def direct_channel(member_id: str) -> Channel:
    """Return a member's conversation with the bot, whose id follows from the member's."""
    return Channel(str(_DIRECT_BASE + int(member_id)), DIRECT, "", recipient_id=member_id)


def user_payload(user_id: str) -> dict[str, Any]:
    if user_id == APPLICATION:
        return BOT
    name = name_of(user_id)
    assert name is not None, f"there is no member {user_id}"
    return {"id": user_id, "username": name, "global_name": name.title(), "discriminator": "0", "avatar": None}


def member_payload(user_id: str, permissions: int | None = None) -> dict[str, Any]:
    """Return a member of the server; in an interaction with the ``permissions`` that they have in the channel."""
    member = {"user": user_payload(user_id), "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "flags": 0}
    member |= {"deaf": False, "mute": False}
    return member if permissions is None else member | {"permissions": str(permissions)}


def permissions_of(member_id: str) -> int:
    """Return the permissions of a member, who is no bot, anywhere in the server."""
    return _ALL.value if member_id == MEMBER else EVERYONE.value


def channel_payload(channel: Channel) -> dict[str, Any]:
    """Return a channel or thread as the gateway and the API show it."""
    payload: dict[str, Any] = {"id": channel.id, "type": channel.kind, "last_message_id": None, "flags": 0}
    if channel.kind == DIRECT:
        assert channel.recipient_id is not None
        return payload | {"recipients": [user_payload(channel.recipient_id)]}
    payload |= {"guild_id": GUILD, "name": channel.name, "rate_limit_per_user": 0, "parent_id": channel.parent_id}
    if channel.is_thread:
        metadata = {"archived": channel.archived, "locked": channel.locked, "auto_archive_duration": 1440}
        metadata["archive_timestamp"] = "2026-01-01T00:00:00+00:00"
        return payload | {"owner_id": MEMBER, "message_count": 0, "member_count": 1, "thread_metadata": metadata}
    # An overwrite for the bot alone: what it lacks, members keep.
    denied = [{"id": APPLICATION, "type": 1, "allow": "0", "deny": str(channel.denied)}] if channel.denied else []
    payload |= {"position": 0, "permission_overwrites": denied, "nsfw": False, "topic": None}
    if channel.kind == VOICE_TEXT:
        payload |= {"bitrate": 64_000, "user_limit": 0}
    if channel.kind == FORUM_KIND:
        payload |= {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
        payload |= {"default_forum_layout": 0}
    return payload


def guild_payload(channels: dict[str, Channel], premium_tier: int) -> dict[str, Any]:
    """Return the server as GUILD_CREATE shows it: archived threads are left out."""
    role = {"id": GUILD, "name": "@everyone", "permissions": str(EVERYONE.value), "position": 0, "color": 0}
    role |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0, "colors": {"primary_color": 0}}
    in_guild = [channel for channel in channels.values() if channel.kind != DIRECT]
    return {
        "id": GUILD,
        "name": "Loopback",
        "owner_id": MEMBER,
        "roles": [role],
        "channels": [channel_payload(channel) for channel in in_guild if not channel.is_thread],
        "threads": [channel_payload(each) for each in in_guild if each.is_thread and not each.archived],
        "members": [member_payload(APPLICATION)],
        "member_count": 1 + len(MEMBERS),
        "emojis": [],
        "stickers": [],
        "premium_tier": premium_tier,
    }


def other_guilds(count: int, members: int) -> list[dict[str, Any]]:
    """Return further servers, in which nothing happens: each with ten channels, ten roles and ``members`` members."""
    return [_other_guild(number, members) for number in range(count)]


def _other_guild(number: int, members: int) -> dict[str, Any]:
    guild = (number + 1 << 22) + _GUILD_BASE
    shown = guild_payload({}, 0) | {"id": str(guild), "name": f"Server {number}", "member_count": members}
    channels = [channel_payload(Channel(str(guild + 1 + each), TEXT, f"channel-{each}")) for each in range(10)]
    (everyone,) = shown["roles"]
    roles = [everyone | {"id": str(guild + each), "name": f"role {each}"} for each in (0, *range(20, 29))]
    first = number * members
    cached = [member_payload(user_id) for user_id in crowd(members, first=first)]
    return shown | {"channels": channels, "roles": roles, "members": [member_payload(APPLICATION), *cached]}
