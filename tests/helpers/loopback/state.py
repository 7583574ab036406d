"""What the loopback Discord knows: channels, messages, interactions and nonces; and the record of all messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any, Literal

import discord
from PIL import Image

from tests.helpers.loopback.errors import ApiError
from tests.helpers.loopback.messages import EPHEMERAL, Attachment, Entry, Message
from tests.helpers.loopback.places import (
    APPLICATION,
    DIRECT,
    EVERYONE,
    GUILD,
    VOICE_TEXT,
    Channel,
    channel_payload,
    direct_channel,
    member_payload,
    new_channels,
    user_payload,
)
from tests.helpers.loopback.snowflakes import Snowflakes, seconds_since

MIB = 2**20
REQUEST_LIMIT = 25 * MIB
_TOKEN_SECONDS = 15 * 60
_NONCE_SECONDS = 300.0
_CONTENT_TYPES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg", "jpeg": "image/jpeg"}


@dataclass
class Interaction:
    """A member's command, click or form, and what the bot has answered. ``kind`` is Discord's number of its type.

    ``answer`` is the type of the callback, None before it. ``asked_at`` and ``answered_at`` are the times of
    ``time.monotonic()``, the second one that of the callback. ``own`` are the messages that its token may edit.
    """

    id: str
    token: str
    kind: int
    channel_id: str
    member_id: str
    message_id: str | None = None
    answer: int | None = None
    asked_at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None
    original_id: str | None = None
    own: set[str] = field(default_factory=set)
    data: dict[str, Any] = field(default_factory=dict)
    gone: Literal["no", "expired", "unknown"] = "no"

    def check_token(self) -> None:
        """Raise :class:`ApiError` if the token is too old or was made to expire."""
        if self.gone == "unknown":
            raise ApiError(10015)
        if self.gone == "expired" or seconds_since(self.id) > _TOKEN_SECONDS:
            raise ApiError(50027)


class State:
    """All of it. ``emit`` sends an event to the bot; ``base`` is the server's address as ``host:port``.

    ``upload_limit`` is what a file of the bot may have in bytes, whatever interactions say. ``shards`` is how many the
    bot is told to connect with; ``sessions_left`` is what it may begin today. ``flags`` are those of its application:
    what the developer portal grants.
    """

    def __init__(self, emit: Callable[[str, dict[str, Any]], None]) -> None:
        self._emit = emit
        self.base = ""
        self.shards = 1
        self.sessions_left = 999
        self.flags = 0
        self.ids = Snowflakes()
        self.channels = new_channels()
        self.messages: dict[str, Message] = {}
        self.record: list[Entry] = []
        self.interactions: dict[str, Interaction] = {}
        self.files: dict[str, Attachment] = {}
        self.closed_to_bot: set[str] = set()
        self.upload_limit = 20 * MIB
        self._nonces: dict[str, tuple[float, str]] = {}

    def channel(self, channel_id: str) -> Channel:
        """Return a channel that the bot may see. Raises :class:`ApiError`."""
        found = self.channels.get(channel_id)
        if found is None:
            raise ApiError(10003)
        if not self.permissions(found).view_channel:
            raise ApiError(50001)
        return found

    def permissions(self, channel: Channel) -> discord.Permissions:
        """Return what the bot may do in a channel; a thread has those of its parent."""
        holder = self.channels.get(channel.parent_id or "", channel)
        left = discord.Permissions(EVERYONE.value & ~holder.denied)
        cannot_connect = holder.kind == VOICE_TEXT and not left.connect
        return discord.Permissions.none() if cannot_connect or not left.view_channel else left

    def conversation(self, member_id: str) -> Channel:
        """Return the channel of direct messages with a member, opened if need be."""
        channel = direct_channel(member_id)
        return self.channels.setdefault(channel.id, channel)

    def message(self, channel_id: str, message_id: str) -> Message:
        """Return a message as the channel has it, where ephemeral ones do not exist. Raises :class:`ApiError`."""
        found = self.messages.get(message_id)
        if found is None or found.channel_id != channel_id or found.seen_by is not None:
            raise ApiError(10008)
        return found

    def post(self, message: Message) -> Message:
        """Keep a new message, record it, and tell the bot unless it is ephemeral."""
        self._put("posted", message)
        if message.seen_by is None:
            self._emit("MESSAGE_CREATE", self.event_payload(message))
        return message

    def edit(self, message: Message, **changes: Any) -> Message:
        """Change a message, record it, and tell the bot unless it is ephemeral."""
        changed = replace(message, **changes)
        self._put("edited", changed)
        if changed.seen_by is None:
            self._emit("MESSAGE_UPDATE", self.event_payload(changed))
        return changed

    def delete(self, message: Message) -> None:
        """Delete a message, record it, and tell the bot unless it is ephemeral."""
        del self.messages[message.id]
        self.record.append(Entry(time.time(), "deleted", message))
        if message.seen_by is None:
            place = {"guild_id": guild} if (guild := self._guild_of(message)) else {}
            self._emit("MESSAGE_DELETE", {"id": message.id, "channel_id": message.channel_id} | place)

    def posted_with(self, nonce: str | None) -> Message | None:
        """Return the bot's message with this nonce of the last minutes, if Discord still remembers it."""
        at, message_id = self._nonces.get(nonce or "", (0.0, ""))
        return self.messages.get(message_id) if time.time() - at < _NONCE_SECONDS else None

    def remember_nonce(self, message: Message) -> None:
        if message.nonce is not None:
            self._nonces[message.nonce] = (time.time(), message.id)

    def forget_nonces(self) -> None:
        """Forget the nonces so far, as Discord does after some minutes."""
        self._nonces.clear()

    def attach(self, channel_id: str, filename: str, data: bytes, description: str | None = None) -> Attachment:
        """Keep a file. Its URL works from now on."""
        number = self.ids.new()
        kind = _CONTENT_TYPES.get(filename.rpartition(".")[2].lower())
        width, height = _size_of(data) if kind else (None, None)
        url = f"http://{self.base}/cdn/attachments/{channel_id}/{number}/{filename}"
        made = Attachment(number, filename, data, url, kind, description, width, height)
        self.files[number] = made
        return made

    def payload(self, message: Message) -> dict[str, Any]:
        """Return a message as Discord's API shows it to the bot."""
        kind = 20 if message.interaction is not None else 19 if message.reference is not None else 0
        shown: dict[str, Any] = {
            "id": message.id, "channel_id": message.channel_id, "author": user_payload(message.author_id),
            "content": message.content, "timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None,
            "tts": False, "mention_everyone": False, "mention_roles": [], "embeds": [], "pinned": False,
            "mentions": [user_payload(user_id) for user_id in message.mentions], "type": kind, "flags": message.flags,
            "attachments": [attachment.payload() for attachment in message.attachments],
            "components": list(message.components),
        }  # fmt: skip
        if message.nonce is not None:
            shown["nonce"] = message.nonce
        if message.reference is not None:
            reference = {"type": 0, "message_id": message.reference, "channel_id": message.channel_id}
            shown["message_reference"] = reference | ({"guild_id": guild} if (guild := self._guild_of(message)) else {})
            original = self.messages.get(message.reference)
            shown["referenced_message"] = self.payload(original) if original is not None else None
        return shown

    def event_payload(self, message: Message) -> dict[str, Any]:
        """Return a message as the gateway shows it, with its server and its author's membership."""
        guild_id = self._guild_of(message)
        if guild_id is None:
            return self.payload(message)
        member = member_payload(message.author_id)
        del member["user"]
        return self.payload(message) | {"guild_id": guild_id, "member": member}

    def update_channel(self, channel: Channel) -> None:
        """Tell the bot what has changed in a channel or thread."""
        self._emit("THREAD_UPDATE" if channel.is_thread else "CHANNEL_UPDATE", channel_payload(channel))

    def remove_channel(self, channel: Channel) -> None:
        """Delete a channel with its threads and messages. Discord sends no MESSAGE_DELETE for those."""
        for thread in [each for each in self.channels.values() if each.parent_id == channel.id]:
            self.remove_channel(thread)
        del self.channels[channel.id]
        for message in [each for each in self.messages.values() if each.channel_id == channel.id]:
            del self.messages[message.id]
            self.record.append(Entry(time.time(), "deleted", message))
        self._emit("THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE", channel_payload(channel))

    def _put(self, what: Literal["posted", "edited"], message: Message) -> None:
        self.messages[message.id] = message
        self.record.append(Entry(time.time(), what, message))

    def _guild_of(self, message: Message) -> str | None:
        channel = self.channels.get(message.channel_id)
        return GUILD if channel is not None and channel.kind != DIRECT else None


def new_message(state: State, channel_id: str, data: Mapping[str, Any], **more: Any) -> Message:
    """Return a message of the bot as a request describes it, not yet posted. Raises :class:`ApiError`."""
    message = Message(
        id=state.ids.new(),
        channel_id=channel_id,
        author_id=APPLICATION,
        content=data.get("content") or "",
        flags=data.get("flags") or 0,
        components=tuple(data.get("components") or ()),
        **more,
    )
    if not message.content and not message.attachments and not message.components:
        raise ApiError(50006)
    return message


def ephemeral(message: Message, member_id: str) -> Message:
    """Return the message as only this member sees it, if its flags say so."""
    return replace(message, seen_by=member_id) if message.flags & EPHEMERAL else message


def _size_of(data: bytes) -> tuple[int | None, int | None]:
    try:
        with Image.open(BytesIO(data)) as image:
            return image.size
    except OSError:
        return None, None
